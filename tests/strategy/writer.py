"""A writer of tick and event streams for tests, in numpy: no code shared with the decoder's.

Every tick says in `volume_traded`, `oi` and `last_price` which sequence it is, so that a torn or
misplaced record shows. The order of stores is that of stream.h: oldest, records, tail; events
before the ticks that follow them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ext.cells import Bell, Word
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Broker, EventKind, InstanceState, Mode, Reason, Role, SegmentKind
from pipeline.shm import specs
from pipeline.shm.instance import InstanceFile, ManifestEntry
from pipeline.shm.names import INSTANCE_BELL, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment, SegmentSpec
from pipeline.shm.tables import AssignmentTable, assignment_rows

CHECK = 0x9E3779B97F4A7C15
UNIT = layout.unit_records


class _Stream:
    """The ring rule over one segment."""

    def __init__(self, segment: Segment, struct: str) -> None:
        head = layout.dtypes["RingControlC"].itemsize
        if struct == "TickC":
            head += -(-layout.dtypes["CommitCellC"].itemsize // 64) * 64
        self.capacity = segment.capacity
        self.records = segment.records(struct, self.capacity, head)
        self._oldest = Word(segment.mapping, layout.data_offset)
        self._tail = Word(segment.mapping, layout.data_offset + 8)

    @property
    def tail(self) -> int:
        return self._tail.load()

    def begin_at(self, sequence: int) -> None:
        self._oldest.store(sequence)
        self._tail.store(sequence)

    def write(self, records: np.ndarray[Any, Any]) -> None:
        """Retire, fill the slots, leave the tail alone."""
        tail = self.tail
        self._oldest.store(max(self._oldest.load(), tail + UNIT - self.capacity))
        index = (tail % self.capacity + np.arange(len(records))) % self.capacity
        self.records[index] = records

    def publish(self, count: int) -> None:
        self._tail.store(self.tail + count)


class LaneWriter:
    """One connection's streams, as its decoder would write them."""

    def __init__(self, ticks: Segment, events: Segment, connection: int = 0) -> None:
        self.ticks = _Stream(ticks, "TickC")
        self.events = _Stream(events, "EventC")
        self.connection = connection
        self.frames = 0

    def make_ticks(self, count: int, tokens: Sequence[int] = (408065,)) -> np.ndarray[Any, Any]:
        """Return the next `count` ticks, all of one frame."""
        ticks = np.zeros(count, layout.tick_dtype)
        sequences = self.ticks.tail + np.arange(count, dtype=np.uint64)
        ticks["sequence"] = sequences
        ticks["volume_traded"] = sequences * np.uint64(CHECK)
        ticks["oi"] = ~sequences
        ticks["last_price"] = sequences % 1_000_003 / 100
        ticks["source_sequence"] = self.frames
        ticks["packet_index"] = np.arange(count)
        ticks["connection"] = self.connection
        ticks["connection_epoch"] = 1
        ticks["mode"], ticks["broker"] = Mode.QUOTE, Broker.KITE
        ticks["instrument_token"] = np.resize(np.asarray(tokens, np.uint32), count)
        ticks["receive_ts_ns"], ticks["receive_mono_ns"] = real_ns(), monotonic_ns()
        self.frames += 1
        return ticks

    def write_ticks(self, count: int, tokens: Sequence[int] = (408065,)) -> np.ndarray[Any, Any]:
        """Publish a unit of `count` (<= 256) ticks and return them."""
        assert count <= UNIT
        ticks = self.make_ticks(count, tokens)
        self.ticks.write(ticks)
        self.ticks.publish(count)
        return ticks

    def write_event(self, kind: EventKind = EventKind.GAP, *, ahead: int = 0, **fields: int) -> int:
        """Publish an event that precedes the tick after the next `ahead` ones; return its place."""
        event = np.zeros(1, layout.dtypes["EventC"])
        place = self.ticks.tail + ahead
        event["kind"], event["connection"], event["tick_sequence"] = kind, self.connection, place
        event["connection_epoch"] = 1
        for field, value in fields.items():
            event[field] = value
        self.events.write(event)
        self.events.publish(1)
        return place


def are_whole(ticks: np.ndarray[Any, Any]) -> bool:
    """Whether every record says the same sequence everywhere: none is torn."""
    sequences = ticks["sequence"]
    return bool(
        np.all(ticks["volume_traded"] == sequences * np.uint64(CHECK))
        and np.all(ticks["oi"] == ~sequences)
        and np.all(ticks["last_price"] == sequences % 1_000_003 / 100)
    )


class FakeConnection(NamedTuple):
    """What a fake instance has of one connection."""

    lane: LaneWriter
    orders: FrameRingWriter
    assignment: AssignmentTable
    status: StatusPage


class FakeInstance:
    """An instance file, its bell and the segments that strategies read; written by tests.

    The calling process is its supervisor. `end()` ends it as a supervisor would.
    """

    def __init__(
        self, name: str, root: Path, *, connections: int = 1, tick_records: int = 2048,
        event_records: int = 512, tokens: Sequence[int] = (408065, 256265), first: int = 1,
        owners: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.paths = InstancePaths(name, root)
        self.file = InstanceFile.claim(self.paths)
        self.tick_records, self.event_records, self.tokens = tick_records, event_records, tokens
        self.first = first
        self.ended = False
        self.slots = 16 * len(tokens)
        self.bell = Bell(self.make(specs.bell(), INSTANCE_BELL).mapping, layout.data_offset)
        self.latest = self.make(specs.latest(0, slots=self.slots), 0)
        self.entries = [
            ManifestEntry(SegmentKind.BELL, INSTANCE_BELL),
            ManifestEntry(SegmentKind.LATEST, 0),
        ]
        self.owners = owners  # of the connections, in turn
        for number, owner in enumerate(owners):
            record = self.make(specs.account(number), number).record("AccountC")
            record["owner"][: len(owner)] = list(owner.encode())
            self.entries.append(ManifestEntry(SegmentKind.ACCOUNT, number))
        self.connections: list[FakeConnection] = []
        for _ in range(connections):
            self.add_connection(publish=False)
        self.publish()
        self.file.set_state(InstanceState.RUNNING, Reason.NONE)

    def make(self, spec: SegmentSpec, number: int) -> Segment:
        path = self.paths.segment(spec.kind, number)
        return Segment.create(path, spec, instance_id=self.file.instance_id)

    def publish(self) -> None:
        self.file.set_manifest(self.entries)

    def add_connection(self, *, publish: bool = True) -> FakeConnection:
        number = len(self.connections)
        ticks = self.make(specs.ticks(number, capacity=self.tick_records), number)
        events = self.make(specs.events(number, capacity=self.event_records), number)
        orders = self.make(specs.orders(number, area_bytes=65536), number)
        assignment = AssignmentTable(
            self.make(specs.assignment(number, capacity=len(self.tokens)), number)
        )
        modes = np.full(len(self.tokens), Mode.QUOTE)
        offset = 100_000 * number
        tokens = np.asarray(self.tokens) + offset
        assignment.write(assignment_rows(tokens, modes, len(self.tokens) * number))
        status = StatusPage(self.make(specs.feed_status(number), number))
        status.begin(Role.FEED, number)
        if self.owners:
            owner = self.owners[number % len(self.owners)]
            status.record["owner"][: len(owner)] = list(owner.encode())
            status.record["account"][: len(owner) + 1] = list(f"{owner}1".encode())
        lane = LaneWriter(ticks, events, number)
        lane.ticks.begin_at(self.first)
        self.connections.append(
            FakeConnection(lane, FrameRingWriter(orders.mapping), assignment, status)
        )
        for kind in (
            SegmentKind.TICKS, SegmentKind.EVENTS, SegmentKind.ORDERS, SegmentKind.ASSIGNMENT,
            SegmentKind.FEED_STATUS,
        ):  # fmt: skip
            self.entries.append(ManifestEntry(kind, number, 0, Broker.KITE))
        if publish:
            self.publish()
        return self.connections[number]

    def send(self, count: int, connection: int = 0) -> np.ndarray[Any, Any]:
        """Publish ticks of one connection and ring."""
        ticks = self.connections[connection].lane.write_ticks(count)
        self.bell.ring()
        return ticks

    def write_latest(self, slot: int, tick: np.void) -> None:
        """Write a slot of the latest table, both copies alternating as cell.h says."""
        cell = self.latest.record("LatestSlotC", slot * layout.dtypes["LatestSlotC"].itemsize)
        offset = layout.data_offset + slot * layout.dtypes["LatestSlotC"].itemsize
        version = Word(self.latest.mapping, offset)
        cell["copy"][(version.load() + 1) & 1] = tick
        version.store(version.load() + 1)

    def end(self, reason: Reason = Reason.SHUTDOWN) -> None:
        self.ended = True
        self.file.end(reason, 0)
