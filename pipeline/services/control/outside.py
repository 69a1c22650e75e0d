"""The pool's side of shared memory: it writes topology and assignments, reads the rest. Floor 4.

One writer per table: this process, for as long as it holds the lease. Nothing here decides.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from ext.cells import Cell
from pipeline.core import layout
from pipeline.core.control import TOPOLOGY_CHANGED
from pipeline.core.enums import Mode, Reason, Role, SegmentKind, State
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.control.kept import Kept, KeptFile
from pipeline.services.control.links import Link, Report, Row
from pipeline.services.control.text_ring import Text, TextFollower
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, TopologyTable, commit_cell, confirmed_rows

_ABSENT: Final = Report()


class TopologyRow(NamedTuple):
    """A connection that there is, or shall be; the last two are for a control process after us."""

    number: int
    account: int
    decoder: int
    seat: int
    instruments_max: int
    wanted: bool
    draining: bool = False
    drain_to: int = 0


class _Mapped(NamedTuple):
    table: AssignmentTable
    confirmed: np.ndarray[Any, Any]
    feed: np.ndarray[Any, Any]
    frames: np.ndarray[Any, Any]
    commit: Cell
    texts: TextFollower


class Outside:
    """An instance's tables and pages, from within its control process."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._instance = InstanceView(paths)
        self._version = -1
        self._present: frozenset[int] = frozenset()
        self._mapped: dict[int, _Mapped] = {}
        self._kept: dict[str | None, KeptFile] = {}
        self._since: dict[int, tuple[int, dict[int, int]]] = {}  # tables' versions, and their times
        self._ended: dict[int, int] = {}  # what is gone: until when it was decoded
        kind = SegmentKind.TOPOLOGY
        self._topology = TopologyTable(Segment.attach(paths.segment(kind), kind, writable=True))
        self._topology.segment.claim(Role.CONTROL)

    # ---- topology ---------------------------------------------------------------------------

    def read_topology(self) -> list[TopologyRow]:
        """Return the topology as it is: written by this process or by one before it."""
        _, rows = self._topology.read()
        return [
            TopologyRow(
                int(row["number"]), int(row["account"]), int(row["decoder"]), int(row["seat"]),
                int(row["instruments_max"]), bool(row["wanted"]),
                bool(row["draining"]), int(row["drain_to"]),
            )
            for row in rows
        ]  # fmt: skip

    def write_topology(self, rows: Iterable[TopologyRow], accounts: Collection[int]) -> None:
        """Say which connections there shall be of these accounts, and tell the supervisor.

        Those of other accounts stay as they are.
        """
        others = (row for row in self.read_topology() if row.account not in accounts)
        wanted = sorted([*others, *rows])
        table = np.zeros(len(wanted), layout.dtypes["TopologyC"])
        for name in TopologyRow._fields:
            table[name] = [getattr(row, name) for row in wanted]
        self._topology.write(table)
        info = self._instance.read()
        if info.supervisor_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(info.supervisor_pid, TOPOLOGY_CHANGED)

    # ---- connections ------------------------------------------------------------------------

    @property
    def present(self) -> frozenset[int]:
        """The connections that are in the manifest."""
        version = self._instance.version
        if version != self._version:
            manifest = self._instance.read().manifest
            self._present = frozenset(
                entry.number for entry in manifest if entry.kind is SegmentKind.FEED_STATUS
            )
            for number in self._mapped.keys() - self._present:
                commit = _commit_of(self._mapped.pop(number))
                self._ended[number] = int(commit["last_receive_mono_ns"])
                self._since.pop(number, None)
            self._version = version
        return self._present

    def report(self, number: int) -> Report:
        """Return what a connection's pages say now."""
        mapped = self._map(number)
        if mapped is None:
            return _ABSENT
        head = mapped.feed["head"]
        return Report(
            present=True,
            state=State(int(head["state"])),
            reason=Reason(int(head["reason"])),
            since_mono_ns=int(head["state_since_mono_ns"]),
            heartbeat_mono_ns=int(head["heartbeat_mono_ns"]),
            connection_epoch=int(mapped.feed["connection_epoch"]),
            wire_count=int(mapped.feed["wire_count"]),
            resubscriptions=int(mapped.feed["resubscriptions"]),
        )

    def write(self, link: Link) -> bool:
        """Make a connection's table say what the link has; False when it has no table (yet)."""
        mapped = self._map(link.number)
        if mapped is None:
            return False
        rows = np.zeros(len(link.rows), layout.dtypes["AssignmentC"])
        rows["instrument_token"] = list(link.rows)
        rows["mode"] = [row.mode for row in link.rows.values()]
        rows["slot"] = [row.slot for row in link.rows.values()]
        rows["owner_epoch"] = [row.owner_epoch for row in link.rows.values()]
        rows["left_mono_ns"] = [row.left_mono_ns for row in link.rows.values()]
        mapped.table.write(rows)
        return True

    def read_rows(self, number: int) -> dict[int, Row]:
        """Return what a connection's table says: written by a control process before this one."""
        mapped = self._map(number)
        if mapped is None:
            return {}
        _, rows = mapped.table.read()
        return {
            int(row["instrument_token"]): Row(
                Mode(int(row["mode"])),
                int(row["slot"]),
                int(row["owner_epoch"]),
                int(row["left_mono_ns"]),
            )  # fmt: skip
            for row in rows
        }

    def decoded_until(self, number: int) -> int:
        """Return when the newest message of a connection was received that is decoded.

        Monotonic ns; 0 = none. Also of a connection that is gone, if it was there before.
        """
        mapped = self._map(number)
        if mapped is None:
            return self._ended.get(number, 0)
        return int(_commit_of(mapped)["last_receive_mono_ns"])

    def has_backlog(self, number: int) -> bool:
        """Say whether a connection has received what its decoder has not got to yet."""
        mapped = self._map(number)
        if mapped is None:
            return False
        decoded = int(_commit_of(mapped)["source_sequence"])  # first: the ring only grows
        return decoded < int(mapped.frames["tail"])

    def first_packets(self, number: int, tokens: Iterable[int], slots: Iterable[int]) -> list[int]:
        """Return for each instrument when its first packet came on this connection.

        Monotonic ns, of the first since it was assigned; 0 = none in the present connection epoch.
        """
        wanted, places = np.fromiter(tokens, np.uint32), np.fromiter(slots, np.intp)
        mapped = self._map(number)
        if mapped is None:
            return [0] * len(wanted)
        rows = mapped.confirmed[places]
        epoch = int(mapped.feed["connection_epoch"])
        seen = (rows["instrument_token"] == wanted) & (rows["connection_epoch"] == epoch)
        times: list[int] = np.where(seen, rows["first_packet_mono_ns"], 0).tolist()
        return times

    def has_ticked(self, number: int, token: int, slot: int) -> bool:
        """Say whether an instrument's first packet has come since its connection's table has it.

        Also in an earlier connection epoch. Of a connection that is gone: whether anything came.
        """
        mapped = self._map(number)
        if mapped is None:
            return self._ended.get(number, 0) > 0
        since_ns = self._assigned_since(number, mapped).get(token)
        row = mapped.confirmed[slot]
        is_it = since_ns is not None and int(row["instrument_token"]) == token
        return is_it and int(row["first_packet_mono_ns"]) >= (since_ns or 0)

    def _assigned_since(self, number: int, mapped: _Mapped) -> dict[int, int]:
        """Return since when a connection's table has each of its instruments, monotonic ns."""
        version = mapped.table.version
        if number not in self._since or self._since[number][0] != version:
            version, rows = mapped.table.read()
            pairs = zip(
                rows["instrument_token"].tolist(), rows["assigned_mono_ns"].tolist(), strict=True
            )
            self._since[number] = version, dict(pairs)
        return self._since[number][1]

    def texts(self, number: int) -> list[Text]:
        """Return the texts that have come on a connection since the last call."""
        mapped = self._map(number)
        return [] if mapped is None else mapped.texts.take()

    # ---- what is in no table ----------------------------------------------------------------

    def read_kept(self, owner: str | None) -> Kept:
        """Return what of an owner's pool is in no table: kept by a control process before us."""
        return self._kept_file(owner).read()

    def keep(self, owner: str | None, kept: Kept) -> None:
        """Keep this for a control process after us; cheap when it is kept already."""
        self._kept_file(owner).write(kept)

    def _kept_file(self, owner: str | None) -> KeptFile:
        return self._kept.setdefault(owner, KeptFile(self._paths.kept_of(owner)))

    def _map(self, number: int) -> _Mapped | None:
        if number not in self.present:
            return None
        if number not in self._mapped:
            try:
                table = AssignmentTable(self._attach(SegmentKind.ASSIGNMENT, number, writable=True))
                confirmed = confirmed_rows(self._attach(SegmentKind.CONFIRMED, number))
                feed = self._attach(SegmentKind.FEED_STATUS, number).record("FeedStatusC")
                frames = self._attach(SegmentKind.FRAMES, number).record("RingControlC")
                ticks = self._attach(SegmentKind.TICKS, number)
                texts = TextFollower(self._attach(SegmentKind.TEXT, number))
            except (FileNotFoundError, SegmentError, LayoutMismatch):
                return None  # it is being taken away at this moment
            table.take_over(Role.CONTROL)
            commit = commit_cell(ticks)
            self._mapped[number] = _Mapped(table, confirmed, feed, frames, commit, texts)
        return self._mapped[number]

    def _attach(self, kind: SegmentKind, number: int, *, writable: bool = False) -> Segment:
        return Segment.attach(self._paths.segment(kind, number), kind, writable=writable)


def _commit_of(mapped: _Mapped) -> np.ndarray[Any, Any]:
    commit = np.zeros((), layout.dtypes["CommitC"])
    mapped.commit.read_into(commit.reshape(1).view(np.uint8))
    return commit
