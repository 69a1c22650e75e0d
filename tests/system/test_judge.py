"""The judge itself: that it sees what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import pipeline
from ext.simulate import encode_frame, truth_dtype
from pipeline.core import layout
from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Mode
from pipeline.sim.market import Listing
from tests.system.judge import (
    GRACE_NS,
    assert_contiguous,
    came_elsewhere,
    count_torn,
    were_superseded,
)
from tests.system.story import Story
from tests.system.witness import Array, row_dtype, rows_of

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


def _moved() -> tuple[Array, Array]:
    """Twelve states of an instrument: sent on connection 0, from the seventh on also on 1.

    Received: the first five from 0, the seventh and all later ones from 1; the sixth was in flight.
    """
    truth = np.zeros(18, truth_dtype)
    truth["connection"] = truth["session"] = [0] * 12 + [1] * 6
    truth["sequence"] = [*range(1, 13), *range(7, 13)]
    truth["instrument_token"], truth["mode"] = 408065, Mode.FULL
    truth["send_ts_ns"] = truth["sequence"].astype(np.int64) * NS_PER_S // 10
    rows = np.zeros(11, row_dtype)
    rows["connection"] = [0] * 5 + [1] * 6
    rows["sequence"] = [*range(1, 6), *range(7, 13)]
    rows["instrument_token"], rows["mode"] = 408065, Mode.FULL
    rows["receive_ts_ns"] = rows["sequence"].astype(np.int64) * NS_PER_S // 10 + 1000
    return truth, rows


def test_a_story_tells_where_each_copy_of_a_state_came_from() -> None:
    truth, rows = _moved()
    told = Story(rows, truth, 408065).around(np.array([8])).splitlines()
    assert [line.partition(" at ")[0] for line in told] == ["delivered"] * 3 + ["sent"] * 6
    assert told[1].startswith("delivered at 700.001 ms: sequence 8, connection 1, epoch 0")
    assert told[-1].startswith("sent at 800.000 ms: sequence 9, connection 1, session 1")


def test_what_came_from_the_other_side_of_a_move_is_not_lost() -> None:
    truth, rows = _moved()
    assert np.flatnonzero(came_elsewhere(truth, rows)).tolist() == list(range(6, 12))
    assert np.flatnonzero(were_superseded(truth, rows)).tolist() == [5]


def test_what_neither_side_brought_is_lost() -> None:
    truth, rows = _moved()
    holed = np.delete(rows, [2, 7])  # the third from 0, which goes on, and the ninth from 1
    assert np.flatnonzero(were_superseded(truth, holed)).tolist() == [5]
    assert not came_elsewhere(truth, holed)[[2, 8, 14]].any()


def test_what_a_dead_connection_had_sent_is_lost() -> None:
    truth, rows = _moved()
    truth = truth[(truth["connection"] == 1) | (truth["sequence"] <= 6)]
    assert not were_superseded(truth, rows).any()


def test_what_was_sent_long_before_the_move_is_lost() -> None:
    truth, rows = _moved()
    truth["send_ts_ns"][5] -= GRACE_NS
    assert not were_superseded(truth, rows).any()
