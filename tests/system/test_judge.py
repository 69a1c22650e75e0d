"""The judge itself: that it sees what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import pipeline
from ext.simulate import encode_frame
from pipeline.core import layout
from pipeline.sim.market import Listing
from tests.system.judge import assert_contiguous, count_torn
from tests.system.witness import Array, rows_of

INSTRUMENTS = 40
STATES = 5


@pytest.fixture
def ticks() -> Array:
    """Every instrument in every mode, in five states, as a decoder makes them."""
    listing = Listing(INSTRUMENTS, seed=1, now_s=1_700_000_000)
    positions = np.arange(INSTRUMENTS, dtype=np.uint32)
    together = np.zeros((STATES, 3 * INSTRUMENTS), layout.tick_dtype)
    for state in range(STATES):
        bodies = [listing.market.packet(n, mode) for mode in (1, 2, 3) for n in range(INSTRUMENTS)]
        together[state] = pipeline.decode_frame("kite", encode_frame(bodies))
        listing.market.advance(positions, now_s=1_700_000_001 + state)
    ticks = together.reshape(-1)
    ticks["sequence"] = np.arange(1, len(ticks) + 1)
    return ticks


def test_whole_ticks_are_whole(ticks: Array) -> None:
    assert count_torn(rows_of(ticks), instruments=INSTRUMENTS) == 0


@pytest.mark.parametrize(
    "name", ["last_price", "high", "change", "total_sell_quantity", "ask_orders", "bid_price"]
)
def test_a_field_of_another_tick_is_seen(ticks: Array, name: str) -> None:
    full = np.flatnonzero((ticks["mode"] == 3) & (ticks["oi"] > 0))
    before, after = ticks[full[0]], ticks[full[-1]]
    after[name] = before[name]
    ticks[full[-1]] = after
    assert count_torn(rows_of(ticks), instruments=INSTRUMENTS) == 1


def test_a_hole_that_nobody_announced_is_seen(ticks: Array) -> None:
    rows = rows_of(ticks)
    assert_contiguous(rows, [])
    holed = np.delete(rows, [7, 8, 9])
    told = {"kind": "Overrun", "stage": "reader", "connection": 0, "first_sequence": 8}
    assert_contiguous(holed, [{**told, "lost": 3}])
    for lost in (2, 4):
        with pytest.raises(AssertionError):
            assert_contiguous(holed, [{**told, "lost": lost}])
