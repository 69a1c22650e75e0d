"""Happenings as rows: all of them, in order, each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.enums import EventKind, Reason, State
from pipeline.services.control.timeline import KEPT, Timeline
from tests.services.status.establish import Established


@pytest.fixture
def established(tmp_path: Path) -> Iterator[Established]:
    made = Established("whole", tmp_path)
    made.fill()
    yield made
    made.end()


def test_rows_come_once_and_in_order_of_time(established: Established) -> None:
    lanes = established.lanes
    lanes[1].write_event(EventKind.STATE, reason=Reason.RESET, start_ts_ns=10, end_ts_ns=20)
    lanes[0].write_event(EventKind.GAP, reason=Reason.STALL, start_ts_ns=5, end_ts_ns=15)
    timeline = Timeline(established.paths)
    timeline.follow(established.numbers)
    rows = timeline.after(0)
    assert [(row.number, row.connection, row.kind) for row in rows] == [
        (1, 0, "gap"), (2, 1, "state"),
    ]  # fmt: skip
    assert (rows[0].reason, rows[0].state, rows[0].start_ts_ns) == ("STALL", "", 5)
    timeline.follow(established.numbers)
    assert timeline.after(0) == rows and timeline.after(2) == []
    lanes[2].write_event(EventKind.OVERRUN, start_ts_ns=30, end_ts_ns=30)
    timeline.follow(established.numbers)
    [row] = timeline.after(2)
    assert row.document() | {"kind": "overrun", "connection": 2, "number": 3} == row.document()


def test_gaps_of_instruments_that_come_together_are_one_row(established: Established) -> None:
    timeline = Timeline(established.paths)
    for at in range(9):
        reason = Reason.MOVED if at else Reason.RESET
        established.lanes[1].write_event(
            EventKind.GAP, detail=at, reason=reason, start_ts_ns=40 - at, end_ts_ns=60 + at
        )
    timeline.follow(established.numbers)
    whole, parts = timeline.after(0)
    assert (whole.instruments, whole.start_ts_ns, whole.end_ts_ns) == (0, 40, 60)
    assert (parts.instruments, parts.start_ts_ns, parts.end_ts_ns) == (8, 32, 68)
    assert (parts.kind, parts.reason, parts.detail) == ("gap", "MOVED", 0)


def test_old_rows_make_room_and_keep_their_numbers(established: Established) -> None:
    timeline = Timeline(established.paths)
    for at in range(KEPT // 100 + 1):
        for _ in range(100):
            established.lanes[0].write_event(EventKind.GAP, start_ts_ns=at, end_ts_ns=at)
        timeline.follow(established.numbers)
    rows = timeline.after(0)
    assert len(rows) == KEPT
    assert [row.number for row in rows] == list(range(101, 101 + KEPT))


def test_how_a_connection_ended_is_a_row(established: Established) -> None:
    timeline = Timeline(established.paths)
    timeline.follow(established.numbers)
    established.lanes[0].write_event(EventKind.STATE, reason=Reason.DRAINED, end_ts_ns=9)
    timeline.follow([1, 2])
    assert [(row.connection, row.reason) for row in timeline.after(0)] == [(0, "DRAINED")]


def test_a_connection_that_is_gone_is_no_trouble(established: Established) -> None:
    timeline = Timeline(established.paths)
    timeline.follow([0, 1, 77])
    timeline.follow([1])
    timeline.follow([0])
    assert timeline.after(0) == []


def test_states_have_their_names(established: Established) -> None:
    state = State.AUTH_EXPIRED
    established.lanes[0].write_event(EventKind.STATE, state=state, start_ts_ns=1, end_ts_ns=1)
    timeline = Timeline(established.paths)
    timeline.follow(established.numbers)
    assert timeline.after(0)[0].state == "AUTH_EXPIRED"
