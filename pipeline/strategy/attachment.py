"""One running instance as one reader sees it: its segments, its manifest, its end. Floor 3.

Maps what strategies read, keeps the compiled reader in step with the manifest, and tells quiet
from dead. Never writes anything but the reader's own page and the bell's `sleepers`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ext.rings import FrameRingReader
from ext.streams import ReaderPolicy, StreamReader
from pipeline.core import layout
from pipeline.core.clock import NS_PER_US, monotonic_ns, real_ns
from pipeline.core.enums import Broker, FrameKind, InstanceState, Reason, SegmentKind, State
from pipeline.core.errors import InstanceEnded, InstanceError
from pipeline.shm.instance import InstanceInfo, InstanceView, ManifestEntry, not_found
from pipeline.shm.names import INSTANCE_BELL
from pipeline.shm.owners import Holder, Holders, owners_of
from pipeline.shm.segment import Segment
from pipeline.strategy.items import Item, Overrun, TickArray, order_update
from pipeline.strategy.latest import LatestTables
from pipeline.strategy.orders import OrderFilter
from pipeline.strategy.page import make_page

_TICKS_HEAD: Final = (
    layout.dtypes["RingControlC"].itemsize + -(-layout.dtypes["CommitCellC"].itemsize // 64) * 64
)


class Position(NamedTuple):
    """How far a connection was read: the next tick, event and order update."""

    tick: int
    event: int
    order: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderOptions:
    """How a strategy reads; checked by `attach`.

    `positions`: where to go on with a connection, by its number. What is gone since is an Overrun.
    `instruments_file`: the list that names are looked up in, None for the usual one. `owner`:
    only that one's connections are there; None: all.
    """

    name: str
    policy: ReaderPolicy
    from_oldest: bool
    buffer_ticks: int
    spin_us: int
    nap_us: int
    follow: bool
    positions: Mapping[int, Position] = field(default_factory=dict)
    instruments_file: Path | None = None
    owner: str | None = None


class ConnectionInfo(NamedTuple):
    """A connection at one moment; `assigned` and `wire` count instruments."""

    number: int
    broker: Broker
    decoder: int
    state: State
    reason: Reason
    since_ts_ns: int
    connection_epoch: int
    assigned: int
    wire: int
    account: str
    owner: str


class _Stream(NamedTuple):
    """What is mapped of one connection; `records` is its tick stream in place."""

    records: TickArray
    ticks_control: np.ndarray[Any, Any]
    orders: FrameRingReader | None
    feed_status: np.ndarray[Any, Any]
    entry: ManifestEntry


class Attachment:
    """A reader attached to one life of an instance."""

    def __init__(self, view: InstanceView, options: ReaderOptions) -> None:
        self.view = view
        self.paths = view.paths
        info = view.read()
        self.instance_id = info.instance_id
        self._attached = (real_ns(), monotonic_ns())
        self.buffer: TickArray = np.zeros(options.buffer_ticks, layout.tick_dtype)
        bell = self._attach(SegmentKind.BELL, INSTANCE_BELL, writable=True)
        self.page = make_page(self.paths, options.name, self.instance_id)
        self._remove_page = weakref.finalize(self, _unlink, self.page.segment.path, os.getpid())
        self.reader = StreamReader(
            self.buffer,
            bell.mapping,
            self.page.segment.mapping,
            policy=options.policy,
            spin_ns=options.spin_us * NS_PER_US,
            nap_ns=options.nap_us * NS_PER_US,
        )
        self.streams: dict[int, _Stream] = {}
        self.holders = Holders(self.paths)
        self._owner = options.owner
        self._positions = options.positions
        self._version = -1
        self.order_filter = OrderFilter()
        self._latest = LatestTables(self.paths)
        self._latest_version = -1
        self.follow_manifest(oldest=options.from_oldest)

    def _attach(self, kind: SegmentKind, number: int, *, writable: bool = False) -> Segment:
        return Segment.attach(self.paths.segment(kind, number), kind, writable=writable)

    @property
    def has_control(self) -> bool:
        """Whether the instance has a control process, which says what is streamed."""
        return any(e.kind is SegmentKind.CONTROL_STATUS for e in self.view.read().manifest)

    # ---- manifest ---------------------------------------------------------------------------

    def follow_manifest(self, *, oldest: bool = True) -> None:
        """Read connections that are new in the manifest, let go of those that left it.

        A connection that came after we did is read from its beginning.
        """
        version = self.view.version
        if version == self._version:
            return
        manifest = self.own(self.view.read().manifest)
        wanted = {e.number: e for e in manifest if e.kind is SegmentKind.TICKS}
        for number in self.streams.keys() - wanted.keys():
            if not self._has_more(number):
                self.reader.remove(number)
                del self.streams[number]
        for number in sorted(wanted.keys() - self.streams.keys()):
            self._add(wanted[number], manifest, oldest=oldest)
        if self.streams.keys() == wanted.keys():
            self._version = version

    def own(self, manifest: tuple[ManifestEntry, ...]) -> tuple[ManifestEntry, ...]:
        """Return a manifest without the connections of others, if this reader has an owner."""
        return manifest if self._owner is None else self.holders.own(manifest, self._owner)

    def _has_more(self, number: int) -> bool:
        return int(self.reader.wait(0, number)) != 0

    def _add(
        self, entry: ManifestEntry, manifest: tuple[ManifestEntry, ...], *, oldest: bool
    ) -> None:
        number = entry.number
        try:
            ticks = self._attach(SegmentKind.TICKS, number)
            events = self._attach(SegmentKind.EVENTS, number)
            status = self._attach(SegmentKind.FEED_STATUS, number)
            position = self._positions.get(number)
            orders = self._orders(number, manifest, oldest, position)
        except FileNotFoundError:
            return  # it is being taken away at this moment; the manifest will say so
        begin = None if position is None else (position.tick, position.event)
        self.reader.add(
            number, ticks.mapping, events.mapping, oldest=oldest, begin=begin, orders=orders
        )
        records = ticks.records("TickC", ticks.capacity, _TICKS_HEAD)
        self.streams[number] = _Stream(
            records, ticks.record("RingControlC"), orders, status.record("FeedStatusC"), entry
        )

    def _orders(
        self,
        number: int,
        manifest: tuple[ManifestEntry, ...],
        oldest: bool,
        position: Position | None,
    ) -> FrameRingReader | None:
        if not any(e.kind is SegmentKind.ORDERS and e.number == number for e in manifest):
            return None
        mapping = self._attach(SegmentKind.ORDERS, number).mapping
        reader = FrameRingReader(mapping)
        if position is not None:
            return FrameRingReader(mapping, min(position.order, reader.tail))
        return reader if oldest else FrameRingReader(mapping, reader.tail)

    # ---- reading ----------------------------------------------------------------------------

    def take_orders(self) -> list[Item]:
        """Return the order updates that are new, each once, however many connections had it."""
        found: list[Item] = []
        for number, stream in self.streams.items():
            orders = stream.orders
            while orders is not None and orders.cursor < orders.tail:
                lost, first = orders.lost, orders.cursor
                message = orders.poll()
                if orders.lost > lost:
                    found.append(
                        Overrun(connection=number, stage="orders", lost=orders.lost - lost,
                                first_sequence=first)
                    )  # fmt: skip
                if message is not None and message["kind"] == FrameKind.MESSAGE:
                    update = order_update(number, message)
                    owner = self.holders.of(number).owner
                    if self.order_filter.is_new(number, update.order, owner):
                        found.append(update)
        return found

    def take_view(self, connection: int) -> tuple[int, TickArray]:
        """Return (sequence, ticks): new ticks of one connection in place."""
        self.require(connection)
        sequence, count = self.reader.view(connection)
        records = self.streams[connection].records
        start = sequence % len(records)
        return sequence, records[start : start + count]

    def require(self, connection: int) -> None:
        """Raise InstanceError unless the instance has that connection."""
        if connection not in self.streams:
            numbers = ", ".join(map(str, sorted(self.streams))) or "none"
            raise InstanceError(
                f"instance {self.paths.name!r} has no connection {connection}; it has: {numbers}"
            )

    def latest(self) -> LatestTables:
        """Return the latest tables, in step with the manifest; raise InstanceEnded at the end."""
        version = self.view.version
        if version != self._latest_version:
            info = self.view.read()
            if info.state is InstanceState.ENDED:
                raise InstanceEnded(self.paths.name)
            self._latest.follow(self.own(info.manifest))
            self._latest_version = version
        return self._latest

    def connections(self) -> list[ConnectionInfo]:
        """Return all connections by number, as their feeds' pages say."""
        return [_info(stream, self.holders.of(n)) for n, stream in sorted(self.streams.items())]

    def account(self, number: int) -> str:
        """Return the name of a connection's account, also of one that was let go of since."""
        return self.holders.of(number).account

    def position(self, number: int) -> Position:
        """Return how far the connection was taken over; what of it waits to be told counts too."""
        orders = self.streams[number].orders
        tick, _, _ = self.reader.position(number)
        event = self.reader.event_cursor(number)
        return Position(tick, event, orders.cursor if orders is not None else 0)

    # ---- the end ----------------------------------------------------------------------------

    def has_ended(self) -> bool:
        """Whether the instance ended or its supervisor died; what is published stays readable."""
        return not self.view.is_live()

    def find_successor(self) -> InstanceView | None:
        """Return the next life of the instance's name, if it has begun."""
        try:
            view = InstanceView(self.paths)
            info = view.read() if view.version else None
        except FileNotFoundError:
            return None
        return view if info is not None and is_ready(info, self.instance_id) else None

    def last_receive(self, connection: int) -> tuple[int, int]:
        """Return (UTC, monotonic) ns of the last tick that was handed out, or of attaching."""
        _, ts_ns, mono_ns = self.reader.position(connection)
        return (ts_ns, mono_ns) if ts_ns else self._attached

    def close(self) -> None:
        """Remove the reader's page; the memory goes with the last array of it.

        Whoever has the page mapped sees by its state that it was let go of in good order.
        """
        self.page.set_state(State.CLOSED, Reason.SHUTDOWN)
        self._remove_page()


def is_ready(info: InstanceInfo, not_instance_id: bytes = b"") -> bool:
    """Whether an instance can be attached to: alive, and its segments are made."""
    return info.is_live and info.manifest_version > 0 and info.instance_id != not_instance_id


def open_ready(view: InstanceView) -> InstanceView:
    """Return the view if its instance can be attached to; else raise InstanceNotFound."""
    if not is_ready(view.read()):
        raise not_found(view.paths.name, view.paths.root)
    return view


def check_owner(view: InstanceView, owner: str | None) -> None:
    """Raise InstanceError unless the instance has that owner, or none was named."""
    if owner is None:
        return
    owners = owners_of(view.paths, view.read().manifest)
    if owner not in owners:
        raise InstanceError(
            f"instance {view.paths.name!r} has no owner {owner!r}; it has: "
            f"{', '.join(owners) or 'none'} ([[account]] owner in its config)"
        )


def _info(stream: _Stream, holder: Holder) -> ConnectionInfo:
    status = stream.feed_status
    return ConnectionInfo(
        number=stream.entry.number,
        broker=stream.entry.broker,
        decoder=stream.entry.decoder,
        state=State(int(status["head"]["state"])),
        reason=Reason(int(status["head"]["reason"])),
        since_ts_ns=int(status["head"]["state_since_ts_ns"]),
        connection_epoch=int(status["connection_epoch"]),
        assigned=int(status["assigned_count"]),
        wire=int(status["wire_count"]),
        account=holder.account,
        owner=holder.owner,
    )


def _unlink(path: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked child leaves its parent's page alone
        path.unlink(missing_ok=True)
