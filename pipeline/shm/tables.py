"""Assignment, wire, confirmed: what a connection should, does and did receive. Floor 2.

And topology: which connections there shall be. All but confirmed are two-copy cells of a head and
rows: readers get one consistent copy. Each has one writer (design: control, a facade or the
supervisor writes the assignment; control the topology; the feed writes wire; the decoder writes
confirmed).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ext.cells import Cell, Word
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import Mode, Role
from pipeline.core.errors import CapacityError, InstanceError
from pipeline.shm.identity import is_alive, own_identity
from pipeline.shm.segment import Segment
from pipeline.shm.specs import table_copy_bytes

Rows = np.ndarray[Any, Any]

_HEAD: Final = layout.dtypes["TableHeadC"]


class Table:
    """A two-copy table of one row type; `row` is its C struct."""

    row: str
    noun: str = "instruments"
    remedy: str = "raise [[connection]] instruments_max, or use more connections"

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.capacity = segment.capacity
        self._copy_bytes = table_copy_bytes(self.row, self.capacity)
        self._cell = Cell(segment.mapping, layout.data_offset, self._copy_bytes)

    @property
    def version(self) -> int:
        """How often the table was written; 0 = never."""
        return self._cell.version

    @property
    def version_word(self) -> Word:
        """The word that `version` is read from, for those who watch it without the interpreter."""
        return Word(self.segment.mapping, layout.data_offset)

    def write(
        self, rows: Rows, *, connection_epoch: int = 0, changed_mono_ns: int | None = None
    ) -> None:
        """Replace all rows, as of now; raise CapacityError when there are more than `capacity`."""
        if len(rows) > self.capacity:
            raise CapacityError(
                f"{self.segment.path.name} holds {self.capacity} {self.noun}, got {len(rows)}: "
                f"{self.remedy}"
            )
        copy = np.zeros(self._copy_bytes, np.uint8)
        head = np.ndarray((), _HEAD, copy)
        head["count"] = len(rows)
        head["connection_epoch"] = connection_epoch
        head["changed_mono_ns"] = monotonic_ns() if changed_mono_ns is None else changed_mono_ns
        np.ndarray((len(rows),), layout.dtypes[self.row], copy, _HEAD.itemsize)[:] = rows
        self._cell.write(copy)

    def read(self) -> tuple[int, Rows]:
        """Return (version, rows): a private copy of the table as it was at that version."""
        version, _, rows = self.read_with_epoch()
        return version, rows

    def read_with_epoch(self) -> tuple[int, int, Rows]:
        """Return (version, connection epoch, rows)."""
        copy = np.empty(self._copy_bytes, np.uint8)
        version = self._cell.read_into(copy)
        head = np.ndarray((), _HEAD, copy)
        count = min(int(head["count"]), self.capacity)
        rows = np.ndarray((count,), layout.dtypes[self.row], copy, _HEAD.itemsize)
        return version, int(head["connection_epoch"]), rows


class AssignmentTable(Table):
    """Wanted instruments: instrument_token, slot, owner_epoch, mode, assigned_mono_ns."""

    row = "AssignmentC"

    def write(
        self, rows: Rows, *, connection_epoch: int = 0, changed_mono_ns: int | None = None
    ) -> None:
        """Replace all rows, as of now; raise CapacityError when there are more than `capacity`.

        `assigned_mono_ns` is filled in: what was in the table under the same owner epoch keeps
        its time, the others are assigned now.
        """
        now_ns = monotonic_ns() if changed_mono_ns is None else changed_mono_ns
        _, before = self.read()
        rows = rows.copy()
        rows["assigned_mono_ns"] = now_ns
        _, kept, found = np.intersect1d(_row_keys(rows), _row_keys(before), return_indices=True)
        rows["assigned_mono_ns"][kept] = before["assigned_mono_ns"][found]
        super().write(rows, connection_epoch=connection_epoch, changed_mono_ns=now_ns)

    def take_over(self, role: Role) -> None:
        """Become the one writer; raise InstanceError while another process that lives is."""
        header = self.segment.header
        pid, started = int(header["writer_pid"]), int(header["writer_start_time"])
        if is_alive(pid, started) and (pid, started) != own_identity():
            writer = Role(int(header["writer_role"])).name.lower()
            raise InstanceError(
                f"what connection {int(header['number'])} streams is said by process {pid} "
                f"({writer}), and a table has one writer: change it there"
            )
        self.segment.claim(role)

    def read_modes(self) -> tuple[int, dict[int, Mode]]:
        """Return (version, {instrument token: mode}), in the order of the rows."""
        version, rows = self.read()
        tokens, modes = rows["instrument_token"].tolist(), rows["mode"].tolist()
        return version, {token: Mode(mode) for token, mode in zip(tokens, modes, strict=True)}


def _row_keys(rows: Rows) -> np.ndarray[Any, Any]:
    """Return what tells one assignment of an instrument from another: (n,) u8."""
    tokens = rows["instrument_token"].astype(np.uint64)
    keys: np.ndarray[Any, Any] = tokens << np.uint64(32) | rows["owner_epoch"]
    return keys


class TopologyTable(Table):
    """Wanted connections: number, account, decoder, instruments_max, wanted."""

    row = "TopologyC"
    noun = "connections"
    remedy = "recycle fewer at a time"


class WireTable(Table):
    """What the feed has sent on the present connection: instrument_token, mode."""

    row = "WireC"

    def write_modes(self, modes: Mapping[int, Mode], *, connection_epoch: int) -> None:
        """Replace all rows by {instrument token: mode}; raise CapacityError as `write` does."""
        rows = np.zeros(len(modes), layout.dtypes[self.row])
        rows["instrument_token"] = list(modes.keys())
        rows["mode"] = list(modes.values())
        self.write(rows, connection_epoch=connection_epoch)


def confirmed_rows(segment: Segment) -> Rows:
    """Return the confirmed table of a connection in place: (slots,) of ConfirmedC."""
    return segment.records("ConfirmedC", segment.capacity)


def other_modes(assignment: Rows, confirmed: Rows, *, connection_epoch: int) -> dict[int, Mode]:
    """Return {instrument token: wanted mode} of what arrives on this connection in another mode.

    `assignment` are rows of an AssignmentTable, `confirmed` a connection's `confirmed_rows`. What
    has not arrived on this connection at all says nothing and is left out.
    """
    assignment = assignment[assignment["slot"] < len(confirmed)]
    seen = confirmed[assignment["slot"]]
    differs = (
        (seen["instrument_token"] == assignment["instrument_token"])
        & (seen["connection_epoch"] == connection_epoch)
        & (seen["mode"] != assignment["mode"])
    )
    rows = assignment[differs]
    tokens, modes = rows["instrument_token"].tolist(), rows["mode"].tolist()
    return {token: Mode(mode) for token, mode in zip(tokens, modes, strict=True)}


def confirmed_since(
    assignment: Rows, confirmed: Rows, *, connection_epoch: int, since_mono_ns: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return an (n,) mask of the rows that arrive on this connection as they were assigned.

    `assignment` are rows of an AssignmentTable, `confirmed` the connection's `confirmed_rows`,
    `connection_epoch` that of its socket, `since_mono_ns` the time when the rows were assigned: a
    packet that was received before confirms an earlier assignment. Rows must be assigned under a
    new owner epoch each time, or they may stay unconfirmed. Packets that were dropped because
    another connection had delivered their content confirm, too.
    """
    inside = assignment["slot"] < len(confirmed)
    seen = confirmed[np.where(inside, assignment["slot"], 0)]
    arrived = (
        inside
        & (seen["instrument_token"] == assignment["instrument_token"])
        & (seen["connection_epoch"] == connection_epoch)
        & (seen["mode"] == assignment["mode"])
        & (seen["first_packet_mono_ns"] >= since_mono_ns)
    )
    return np.asarray(arrived, np.bool_)


def assignment_rows(
    tokens: np.ndarray[Any, Any], modes: np.ndarray[Any, Any], first_slot: int
) -> Rows:
    """Return assignment rows for (n,) tokens and modes, with consecutive slots."""
    rows = np.zeros(len(tokens), layout.dtypes["AssignmentC"])
    rows["instrument_token"] = tokens
    rows["mode"] = modes
    rows["slot"] = np.arange(first_slot, first_slot + len(tokens))
    rows["owner_epoch"] = 1
    return rows


def commit_cell(ticks: Segment) -> Cell:
    """Return the commit block at the head of a tick stream: a cell of one CommitC."""
    offset = layout.data_offset + layout.dtypes["RingControlC"].itemsize
    return Cell(ticks.mapping, offset, layout.dtypes["CommitC"].itemsize)
