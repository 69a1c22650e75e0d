"""The short way through matching agrees with the long one, wherever it is taken."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sim import matching
from pipeline.sim.grouping import Groups, Part
from tests.sim.test_verify import START_NS, make_truth, receive


def whole(truth: np.ndarray, received: np.ndarray) -> Part:  # type: ignore[type-arg]
    (part,) = Groups(truth, received).parts()
    return part


@pytest.mark.parametrize("seed", range(20))
def test_beginnings_and_search_pair_alike(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = make_truth(random, 2000, instruments=12, first=4000)
    log = receive(truth)
    cut = int(random.integers(1500, 2001))
    log = np.delete(log[:cut], random.choice(cut, int(random.integers(0, 3)), replace=False))
    part = whole(truth, log)
    short, long = matching.match(part), matching._search(part)
    for found, expected in zip(short, long, strict=True):
        assert np.array_equal(np.sort(found), np.sort(expected))
    assert np.array_equal(short.arrival, long.arrival)


def test_twelve_bits_that_come_round_exactly_are_not_taken_for_a_beginning() -> None:
    truth = make_truth(np.random.default_rng(1), 9000, instruments=1)
    truth["mode"], truth["kind"] = 1, 0
    truth["sequence"] = np.arange(9000)
    truth["send_ts_ns"] = START_NS + np.arange(9000) * 1_000_000
    log = np.delete(receive(truth), slice(500, 500 + 4096))
    found = matching.match(whole(truth, log))
    assert np.flatnonzero(found.arrival < 0).tolist() == list(range(500, 4596))
    assert not len(found.doubled) and not len(found.unexplained)
