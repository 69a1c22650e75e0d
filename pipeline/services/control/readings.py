"""What a connection's pages say at one moment, read cheaply and often. Floor 4; read-only.

Pages are mapped once and read in place: a look at a connection takes some ten microseconds, and
what costs more (which instruments are on the wire without a packet) is kept per version of its
table. A process that hangs or is dead leaves its pages as they were, so it is seen here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.control.unconfirmed import Unconfirmed
from pipeline.shm.identity import is_alive
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import commit_cell

Record = np.ndarray[Any, Any]

#: The newest so many ticks of a connection say how old its ticks are.
AGES_SAMPLE: Final = 256
#: A feed beats every half second at least; without a sign for so long it counts as hung.
HUNG_NS: Final = 3_000_000_000
#: With one of these a connection has a socket that the broker has accepted.
OPEN_STATES: Final = frozenset({State.SUBSCRIBING, State.LIVE, State.QUIET})

_CELL_BYTES: Final = layout.dtypes["CommitCellC"].itemsize
#: As ext/stream.h lays it out: the commit cell in whole cache lines, then the records.
RECORDS_OFFSET: Final = layout.dtypes["RingControlC"].itemsize + -(-_CELL_BYTES // 64) * 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One connection at one moment; times are monotonic ns, 0 = never.

    The four sets: `assigned` (by the control process), `wire` (sent by the feed on this socket),
    `confirmed` (a packet came in this epoch); `unconfirmed` lists what is on the wire for longer
    than it may be without a packet. `feed` and `decode` are the pages' counters by name.
    """

    number: int
    state: State
    reason: Reason
    since_ts_ns: int
    pid: int
    alive: bool
    hung: bool
    heartbeat_mono_ns: int
    last_byte_mono_ns: int
    last_data_mono_ns: int
    connected_mono_ns: int
    connection_epoch: int
    http_status: int
    close_code: int
    close_reason: str
    feed: Mapping[str, int] = field(repr=False)
    decode: Mapping[str, int] = field(repr=False)
    ring_capacity: int
    ring_used: int
    ages_ns: Record = field(repr=False)
    modes: Mapping[str, int]
    assigned: int
    wire: int
    confirmed: int
    unconfirmed: tuple[int, ...] = field(repr=False)

    @property
    def connected(self) -> bool:
        """Whether it has a socket, and a feed that reads it."""
        return self.state in OPEN_STATES and self.alive and not self.hung

    @property
    def ring_fill(self) -> float:
        """How much of the frame ring waits for its decoder, 0 to 1."""
        return self.ring_used / self.ring_capacity if self.ring_capacity else 0.0


class Readings:
    """The connections of an instance; `confirm_ns` is when a token without a packet is told."""

    def __init__(self, paths: InstancePaths, confirm_ns: int) -> None:
        self._paths = paths
        self._confirm_ns = confirm_ns
        self._instance = InstanceView(paths)
        self._version = -1
        self._present: frozenset[int] = frozenset()
        self._pages: dict[int, _Pages] = {}

    def take(self, now_ns: int) -> dict[int, Reading]:
        """Return what every connection's pages say now, by number."""
        self._follow_manifest()
        found = {}
        for number in sorted(self._present):
            pages = self._map(number)
            if pages is not None:
                found[number] = pages.read(now_ns)
        return found

    def _follow_manifest(self) -> None:
        version = self._instance.version
        if version == self._version:
            return
        manifest = self._instance.read().manifest
        self._present = frozenset(e.number for e in manifest if e.kind is SegmentKind.FEED_STATUS)
        for number in self._pages.keys() - self._present:
            del self._pages[number]
        self._version = version

    def _map(self, number: int) -> _Pages | None:
        if number not in self._pages:
            try:
                self._pages[number] = _Pages(self._paths, number, self._confirm_ns)
            except (FileNotFoundError, SegmentError, LayoutMismatch):
                return None  # it is being taken away at this moment
        return self._pages[number]


class _Pages:
    """One connection's segments, mapped."""

    def __init__(self, paths: InstancePaths, number: int, confirm_ns: int) -> None:
        def attach(kind: SegmentKind) -> Segment:
            return Segment.attach(paths.segment(kind, number), kind)

        self._number = number
        self._feed = attach(SegmentKind.FEED_STATUS).record("FeedStatusC")
        frames, ticks = attach(SegmentKind.FRAMES), attach(SegmentKind.TICKS)
        self._frames, self._frames_capacity = frames.record("RingControlC"), frames.capacity
        self._ticks, self._ticks_capacity = ticks.record("RingControlC"), ticks.capacity
        self._records = ticks.records("TickC", ticks.capacity, RECORDS_OFFSET)
        self._block = np.zeros(1, layout.dtypes["CommitC"])
        self._commit = commit_cell(ticks)
        self._tokens = Unconfirmed(
            attach(SegmentKind.ASSIGNMENT), attach(SegmentKind.WIRE),
            attach(SegmentKind.CONFIRMED), confirm_ns,
        )  # fmt: skip

    def read(self, now_ns: int) -> Reading:
        feed = self._feed.copy()
        head, epoch = feed["head"], int(feed["connection_epoch"])
        if self._commit.version:
            self._commit.read_into(self._block.view(np.uint8))
        block = self._block[0]
        beat_ns, pid = int(head["heartbeat_mono_ns"]), int(head["pid"])
        busy_ns = int(head["busy_until_mono_ns"])
        waiting = int(self._frames["tail"]) - int(block["source_sequence"])
        tokens = self._tokens.look(epoch, now_ns)
        return Reading(
            number=self._number,
            state=State(int(head["state"])),
            reason=Reason(int(head["reason"])),
            since_ts_ns=int(head["state_since_ts_ns"]),
            pid=pid,
            alive=is_alive(pid, int(head["start_time"])),
            hung=now_ns - max(beat_ns, busy_ns) > HUNG_NS,
            heartbeat_mono_ns=beat_ns,
            last_byte_mono_ns=int(feed["last_byte_mono_ns"]),
            last_data_mono_ns=int(feed["last_data_mono_ns"]),
            connected_mono_ns=int(feed["connected_mono_ns"]),
            connection_epoch=epoch,
            http_status=int(feed["last_http_status"]),
            close_code=int(feed["last_close_code"]),
            close_reason=_text(feed["last_close_reason"]),
            feed={name: int(feed[name]) for name in _FEED_COUNTERS},
            decode={name: int(block["counters"][name]) for name in _DECODE_COUNTERS},
            ring_capacity=self._frames_capacity,
            ring_used=min(max(waiting, 0), self._frames_capacity),
            ages_ns=self._ages(),
            modes=tokens.modes,
            assigned=tokens.assigned,
            wire=tokens.wire,
            confirmed=tokens.confirmed,
            unconfirmed=tokens.unconfirmed,
        )

    def _ages(self) -> Record:
        """Return how long after the exchange's time the newest ticks came; those that have one."""
        tail = int(self._ticks["tail"])
        count = min(AGES_SAMPLE, max(tail - 1, 0), self._ticks_capacity)
        index = np.arange(tail - count, tail) % self._ticks_capacity
        exchange_ns = self._records["exchange_ts_ns"][index]
        ages = self._records["receive_ts_ns"][index] - exchange_ns
        found: Record = ages[exchange_ns > 0]
        return found


def _names(struct: str) -> tuple[str, ...]:
    dtype = layout.dtypes[struct]
    return tuple(name for name in dtype.names or () if dtype[name] == np.uint64)


_FEED_COUNTERS: Final = _names("FeedStatusC")
_DECODE_COUNTERS: Final = _names("DecodeCountersC")


def _text(raw: Record) -> str:
    return bytes(raw.tobytes()).partition(b"\0")[0].decode("utf-8", "replace")
