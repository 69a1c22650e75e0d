"""What has happened to connections, from their event streams. Floor 4; read-only.

Decoders write every change of state and every gap there, with its exact time, also what was over
between two looks and what was before this process began.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import EventKind, Reason, SegmentKind, State
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment

#: How far a new process looks back, per connection.
LOOK_BACK: Final = 256


class Occurrence(NamedTuple):
    """A change of state (`detail`: close code, HTTP status, signal or exit code), or a gap.

    Gaps of single instruments, which changed their connection, are one for all that came together:
    `instruments` says of how many. 0: of all of the connection.
    """

    connection: int
    kind: EventKind
    state: State
    reason: Reason
    detail: int
    start_ts_ns: int
    end_ts_ns: int
    connection_epoch: int
    instruments: int = 0


class EventLog:
    """One connection's event stream, read on and on."""

    def __init__(self, paths: InstancePaths, number: int) -> None:
        segment = Segment.attach(paths.segment(SegmentKind.EVENTS, number), SegmentKind.EVENTS)
        self._control = segment.record("RingControlC")
        self._capacity = segment.capacity
        offset = layout.dtypes["RingControlC"].itemsize
        self._records = segment.records("EventC", segment.capacity, offset)
        tail, oldest = int(self._control["tail"]), int(self._control["oldest"])
        self._cursor = max(tail - LOOK_BACK, oldest)

    def news(self) -> Iterator[Occurrence]:
        """Yield what was written since the last call; what was overwritten meanwhile is left out.

        The stream holds thousands: only a process that slept through all of them misses any.
        """
        tail = int(self._control["tail"])
        if tail <= self._cursor:
            return
        begin = max(self._cursor, int(self._control["oldest"]))
        index = np.arange(begin, tail) % self._capacity
        rows = self._records[index]
        valid = max(int(self._control["oldest"]) - begin, 0)
        self._cursor = tail
        rows = rows[valid:]
        of_one = (rows["kind"] == EventKind.GAP) & (rows["detail"] > 0)
        for row in rows[~of_one]:
            yield _occurrence(row)
        if of_one.any():
            yield _together(rows[of_one])


def _together(rows: np.ndarray[Any, Any]) -> Occurrence:
    return _occurrence(rows[-1])._replace(
        detail=0,
        start_ts_ns=int(rows["start_ts_ns"].min()),
        end_ts_ns=int(rows["end_ts_ns"].max()),
        instruments=len(rows),
    )


def _occurrence(row: Any) -> Occurrence:
    return Occurrence(
        connection=int(row["connection"]),
        kind=EventKind(int(row["kind"])),
        state=State(int(row["state"])),
        reason=Reason(int(row["reason"])),
        detail=int(row["detail"]),
        start_ts_ns=int(row["start_ts_ns"]),
        end_ts_ns=int(row["end_ts_ns"]),
        connection_epoch=int(row["connection_epoch"]),
    )
