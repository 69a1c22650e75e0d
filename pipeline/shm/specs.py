"""The shapes of all segments, as functions of their capacities. Floor 2; pure.

The memory plan is the sum of these, so what is printed is what is made.
"""

from __future__ import annotations

from ext.cells import cell_size
from ext.rings import frame_ring_size
from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from pipeline.shm.names import INSTANCE_BELL
from pipeline.shm.segment import SegmentSpec


def _size(struct: str) -> int:
    return int(layout.dtypes[struct].itemsize)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def table_copy_bytes(row: str, capacity: int) -> int:
    """Return the bytes of one copy of a table with `capacity` rows: its head and the rows."""
    return _size("TableHeadC") + capacity * _size(row)


def _ring(kind: SegmentKind, connection: int, capacity: int, area_bytes: int) -> SegmentSpec:
    area_bytes = _round_up(area_bytes, 64)
    return SegmentSpec(
        kind,
        connection,
        frame_ring_size(capacity, area_bytes),
        _size("FrameDescriptorC"),
        capacity,
        area_bytes,
    )


def frames(connection: int, *, capacity: int, area_bytes: int) -> SegmentSpec:
    """A frame ring with room for `capacity` messages and `area_bytes` of them."""
    return _ring(SegmentKind.FRAMES, connection, capacity, area_bytes)


def orders(connection: int, *, area_bytes: int) -> SegmentSpec:
    """An order ring; an order update is taken to have at least 256 bytes."""
    return _ring(SegmentKind.ORDERS, connection, max(16, area_bytes // 256), area_bytes)


def text(connection: int, *, area_bytes: int) -> SegmentSpec:
    """A ring of the text messages that are not orders."""
    return _ring(SegmentKind.TEXT, connection, max(16, area_bytes // 256), area_bytes)


def ticks(connection: int, *, capacity: int) -> SegmentSpec:
    """A tick stream with its commit block."""
    head = _size("RingControlC") + _round_up(_size("CommitCellC"), 64)
    size = _size("TickC")
    return SegmentSpec(SegmentKind.TICKS, connection, head + capacity * size, size, capacity)


def events(connection: int, *, capacity: int) -> SegmentSpec:
    """An event stream."""
    size = _size("EventC")
    data = _size("RingControlC") + capacity * size
    return SegmentSpec(SegmentKind.EVENTS, connection, data, size, capacity)


def assignment(connection: int, *, capacity: int) -> SegmentSpec:
    """Wanted instruments of a connection: a two-copy cell."""
    data = cell_size(table_copy_bytes("AssignmentC", capacity))
    return SegmentSpec(SegmentKind.ASSIGNMENT, connection, data, _size("AssignmentC"), capacity)


def wire(connection: int, *, capacity: int) -> SegmentSpec:
    """What a feed has sent on its socket: a two-copy cell."""
    data = cell_size(table_copy_bytes("WireC", capacity))
    return SegmentSpec(SegmentKind.WIRE, connection, data, _size("WireC"), capacity)


def confirmed(connection: int, *, slots: int) -> SegmentSpec:
    """First packets seen, indexed by slot of the decoder's latest table."""
    size = _size("ConfirmedC")
    return SegmentSpec(SegmentKind.CONFIRMED, connection, slots * size, size, slots)


def latest(decoder: int, *, slots: int) -> SegmentSpec:
    """The newest tick per instrument: a two-copy cell per slot."""
    size = _size("LatestSlotC")
    return SegmentSpec(SegmentKind.LATEST, decoder, slots * size, size, slots)


def bell(number: int = INSTANCE_BELL) -> SegmentSpec:
    """A decoder's bell, or by default the one of the instance."""
    return _single(SegmentKind.BELL, number, "BellC")


def account(number: int) -> SegmentSpec:
    """The page that all feeds of one API key share."""
    return _single(SegmentKind.ACCOUNT, number, "AccountC")


def feed_status(connection: int) -> SegmentSpec:
    """A feed's status page."""
    return _single(SegmentKind.FEED_STATUS, connection, "FeedStatusC")


def decoder_status(decoder: int) -> SegmentSpec:
    """A decoder's status page."""
    return _single(SegmentKind.DECODER_STATUS, decoder, "DecoderStatusC")


def supervisor_status() -> SegmentSpec:
    """The supervisor's status page, with a row per process."""
    return _single(SegmentKind.SUPERVISOR_STATUS, 0, "SupervisorStatusC")


def simulator_status() -> SegmentSpec:
    """The simulated exchange's status page."""
    return _single(SegmentKind.SIMULATOR_STATUS, 0, "SimulatorStatusC")


def topology() -> SegmentSpec:
    """The wanted connections: a two-copy cell."""
    capacity = layout.topology_rows
    data = cell_size(table_copy_bytes("TopologyC", capacity))
    return SegmentSpec(SegmentKind.TOPOLOGY, 0, data, _size("TopologyC"), capacity)


def control_status() -> SegmentSpec:
    """The control process's status page."""
    return _single(SegmentKind.CONTROL_STATUS, 0, "ControlStatusC")


def gateway_status() -> SegmentSpec:
    """The gateway's status page."""
    return _single(SegmentKind.GATEWAY_STATUS, 0, "GatewayStatusC")


def strategy_status(number: int) -> SegmentSpec:
    """A hosted strategy's status page."""
    return _single(SegmentKind.STRATEGY_STATUS, number, "StrategyStatusC")


def reader() -> SegmentSpec:
    """A reader's page."""
    return _single(SegmentKind.READER, 0, "ReaderC")


def instance() -> SegmentSpec:
    """The instance file: one two-copy cell."""
    data = cell_size(_size("InstanceC"))
    return SegmentSpec(SegmentKind.INSTANCE, 0, data, _size("InstanceC"), 1)


def _single(kind: SegmentKind, number: int, struct: str) -> SegmentSpec:
    return SegmentSpec(kind, number, _size(struct), _size(struct), 1)
