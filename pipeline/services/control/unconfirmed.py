"""Which instruments are assigned, on the wire and confirmed, and which do not answer. Floor 4.

A broker accepts unknown tokens without a word; what shows is that no packet comes. The tables say
when they were changed, not since when each instrument is on the wire: that is kept here, from one
version to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.enums import Mode
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, WireTable, confirmed_rows

Array = np.ndarray[Any, Any]

_NAMES: Final = ((Mode.LTP, "ltp"), (Mode.QUOTE, "quote"), (Mode.FULL, "full"))


class TokenCounts(NamedTuple):
    """The sets of one connection; `modes` are those of what is assigned."""

    assigned: int
    wire: int
    confirmed: int
    unconfirmed: tuple[int, ...]
    modes: Mapping[str, int]


class Unconfirmed:
    """One connection's three tables."""

    def __init__(
        self, assignment: Segment, wire: Segment, confirmed: Segment, confirm_ns: int
    ) -> None:
        self._assignment = AssignmentTable(assignment)
        self._wire = WireTable(wire)
        self._rows = confirmed_rows(confirmed)
        self._confirm_ns = confirm_ns
        self._assignment_version = self._wire_version = -1
        self._slots = np.zeros(0, np.intp)
        self._assigned = np.zeros(0, np.uint32)
        self._modes: Mapping[str, int] = {}
        self._wire_epoch = 0
        self._on_wire = np.zeros(0, np.uint32)
        self._since_ns = np.zeros(0, np.int64)

    def look(self, epoch: int, now_ns: int) -> TokenCounts:
        """Return the sets now; `epoch` is the connection's."""
        if self._assignment.version != self._assignment_version:
            self._follow_assignment()
        if self._wire.version != self._wire_version:
            self._follow_wire(now_ns)
        rows = self._rows[self._slots]
        seen = (rows["instrument_token"] == self._assigned) & (rows["connection_epoch"] == epoch)
        if self._wire_epoch != epoch:
            return TokenCounts(len(self._assigned), 0, int(seen.sum()), (), self._modes)
        silent = self._overdue(self._assigned[~seen], now_ns)
        return TokenCounts(
            len(self._assigned), len(self._on_wire), int(seen.sum()), silent, self._modes
        )

    def _overdue(self, tokens: Array, now_ns: int) -> tuple[int, ...]:
        """Return those of the tokens that have been on the wire for too long."""
        if not len(tokens) or not len(self._on_wire):
            return ()
        place = np.searchsorted(self._on_wire, tokens).clip(max=len(self._on_wire) - 1)
        there = self._on_wire[place] == tokens
        late = there & (now_ns - self._since_ns[place] >= self._confirm_ns)
        return tuple(np.sort(tokens[late]).tolist())

    def _follow_assignment(self) -> None:
        self._assignment_version, rows = self._assignment.read()
        rows = rows[rows["slot"] < len(self._rows)]
        self._slots = rows["slot"].astype(np.intp)
        self._assigned = rows["instrument_token"].copy()
        counts = np.bincount(rows["mode"], minlength=Mode.FULL + 1)
        self._modes = {name: int(counts[mode]) for mode, name in _NAMES}

    def _follow_wire(self, now_ns: int) -> None:
        self._wire_version, epoch, rows = self._wire.read_with_epoch()
        tokens = np.sort(rows["instrument_token"])
        since_ns = np.full(len(tokens), now_ns, np.int64)
        if epoch == self._wire_epoch and len(self._on_wire):
            # What was there before keeps its time; both are sorted.
            place = np.searchsorted(self._on_wire, tokens).clip(max=len(self._on_wire) - 1)
            known = self._on_wire[place] == tokens
            since_ns[known] = self._since_ns[place[known]]
        self._wire_epoch, self._on_wire, self._since_ns = epoch, tokens, since_ns
