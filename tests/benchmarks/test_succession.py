"""What proves a throughput figure: each instrument's volumes count up by one, or it is a fault."""

from __future__ import annotations

import numpy as np
import pytest

from ext.bench import Succession
from pipeline.core import layout

TOKENS = [408065, 884737, 256265]


def ticks(*volumes: tuple[int, int]) -> np.ndarray:
    """Return a batch of (token, volume)."""
    found = np.zeros(len(volumes), layout.tick_dtype)
    found["instrument_token"] = [token for token, _ in volumes]
    found["volume_traded"] = [volume for _, volume in volumes]
    return found


def test_volumes_that_follow_one_another_are_no_fault() -> None:
    succession = Succession(len(TOKENS))
    for volume in range(5, 9):
        succession.take(ticks(*((token, volume) for token in TOKENS)))
    succession.take(ticks())
    assert succession.faults == 0


@pytest.mark.parametrize("volume", [6, 5, 8], ids=["twice", "back", "lost"])
def test_a_volume_out_of_turn_is_one_fault(volume: int) -> None:
    succession = Succession(len(TOKENS))
    succession.take(ticks((TOKENS[0], 5), (TOKENS[1], 1), (TOKENS[0], 6)))
    succession.take(ticks((TOKENS[0], volume), (TOKENS[1], 2)))
    succession.take(ticks((TOKENS[0], volume + 1)))
    assert succession.faults == 1


def test_many_instruments_are_told_apart() -> None:
    tokens = np.random.default_rng(7).choice(1 << 24, 5000, replace=False) + 1
    succession = Succession(5000)
    for volume in (1, 2, 3):
        succession.take(ticks(*((int(token), volume) for token in tokens)))
    assert succession.faults == 0
    succession.take(ticks((int(tokens[2500]), 5)))
    assert succession.faults == 1


def test_more_instruments_than_said_are_refused() -> None:
    succession = Succession(1)
    succession.take(ticks((TOKENS[0], 1)))
    with pytest.raises(ValueError, match="more instruments than were said"):
        succession.take(ticks((TOKENS[1], 1)))


def test_what_are_no_ticks_is_refused() -> None:
    with pytest.raises(ValueError, match="no ticks"):
        Succession(1).take(np.zeros(7, np.uint8))
