"""Rates between two snapshots."""

from __future__ import annotations

from dataclasses import replace

import pytest

import pipeline
from pipeline.services.status import snapshot
from pipeline.services.status.rates import NONE, rates
from tests.services.status.establish import Established


def test_rates_are_per_second(established: Established) -> None:
    with pipeline.attach("whole", shm_directory=established.paths.root, name="a") as market:
        before = snapshot(established.paths)
        established.lanes[0].write_ticks(100)
        next(market.batches(timeout_s=10))
        after = replace(snapshot(established.paths), taken_mono_ns=before.taken_mono_ns + 2 * 10**9)
    found = rates(before, after)
    assert found.ticks == {0: 50.0, 1: 0.0, 2: 0.0}
    assert list(found.delivered.values()) == [50.0]
    assert found.bytes[0] == pytest.approx(0)


def test_no_rates_across_a_restart(established: Established) -> None:
    before = snapshot(established.paths)
    after = replace(before, instance_id="other", taken_mono_ns=before.taken_mono_ns + 1)
    assert rates(before, after) == NONE
    assert rates(before, before) == NONE
