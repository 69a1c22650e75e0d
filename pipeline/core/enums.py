"""The codes of the layout as Python enums, without their C prefixes. Floor 1.

The values come from `ext.layout`, so nothing is numbered twice; a test compares the members.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from pipeline.core.compiled import layout as _layout


class State(IntEnum):
    """Where a connection stands; each state has a reason and a since-time."""

    DISABLED = _layout.ConnectionState.STATE_DISABLED
    IDLE = _layout.ConnectionState.STATE_IDLE
    CONNECTING = _layout.ConnectionState.STATE_CONNECTING
    SUBSCRIBING = _layout.ConnectionState.STATE_SUBSCRIBING
    LIVE = _layout.ConnectionState.STATE_LIVE
    QUIET = _layout.ConnectionState.STATE_QUIET
    STALLED = _layout.ConnectionState.STATE_STALLED
    RECONNECTING = _layout.ConnectionState.STATE_RECONNECTING
    AUTH_EXPIRED = _layout.ConnectionState.STATE_AUTH_EXPIRED
    LIMITED = _layout.ConnectionState.STATE_LIMITED
    DRAINING = _layout.ConnectionState.STATE_DRAINING
    CLOSED = _layout.ConnectionState.STATE_CLOSED
    FAILED = _layout.ConnectionState.STATE_FAILED


class Reason(IntEnum):
    """Why a state was entered, a gap opened or a process ended; `layout.h` explains each."""

    NONE = _layout.Reason.REASON_NONE
    STARTED = _layout.Reason.REASON_STARTED
    HANDSHAKE = _layout.Reason.REASON_HANDSHAKE
    CONNECTED = _layout.Reason.REASON_CONNECTED
    FIRST_DATA = _layout.Reason.REASON_FIRST_DATA
    NO_TICKS = _layout.Reason.REASON_NO_TICKS
    STALL = _layout.Reason.REASON_STALL
    RESET = _layout.Reason.REASON_RESET
    EOF = _layout.Reason.REASON_EOF
    CLOSE_FRAME = _layout.Reason.REASON_CLOSE_FRAME
    PROTOCOL_ERROR = _layout.Reason.REASON_PROTOCOL_ERROR
    BAD_UTF8 = _layout.Reason.REASON_BAD_UTF8
    TOO_BIG = _layout.Reason.REASON_TOO_BIG
    PING_FLOOD = _layout.Reason.REASON_PING_FLOOD
    SLOW_FRAME = _layout.Reason.REASON_SLOW_FRAME
    SEND_BLOCKED = _layout.Reason.REASON_SEND_BLOCKED
    RESOLVE_FAILED = _layout.Reason.REASON_RESOLVE_FAILED
    CONNECT_FAILED = _layout.Reason.REASON_CONNECT_FAILED
    CONNECT_TIMEOUT = _layout.Reason.REASON_CONNECT_TIMEOUT
    TLS_FAILED = _layout.Reason.REASON_TLS_FAILED
    BAD_HANDSHAKE = _layout.Reason.REASON_BAD_HANDSHAKE
    HTTP_STATUS = _layout.Reason.REASON_HTTP_STATUS
    AUTH_REJECTED = _layout.Reason.REASON_AUTH_REJECTED
    RATE_LIMITED = _layout.Reason.REASON_RATE_LIMITED
    TOKEN_CHANGED = _layout.Reason.REASON_TOKEN_CHANGED
    ASSIGNMENT_EMPTY = _layout.Reason.REASON_ASSIGNMENT_EMPTY
    PROCESS_EXITED = _layout.Reason.REASON_PROCESS_EXITED
    PROCESS_KILLED = _layout.Reason.REASON_PROCESS_KILLED
    PROCESS_HUNG = _layout.Reason.REASON_PROCESS_HUNG
    CIRCUIT_OPEN = _layout.Reason.REASON_CIRCUIT_OPEN
    SHUTDOWN = _layout.Reason.REASON_SHUTDOWN
    DRAINED = _layout.Reason.REASON_DRAINED
    DISCONTINUITY = _layout.Reason.REASON_DISCONTINUITY
    CLOCK = _layout.Reason.REASON_CLOCK
    MOVED = _layout.Reason.REASON_MOVED


class HostPhase(IntEnum):
    """What a hosted strategy's process is doing."""

    NONE = _layout.HostPhase.PHASE_NONE
    IMPORT = _layout.HostPhase.PHASE_IMPORT
    INIT = _layout.HostPhase.PHASE_INIT
    ON_START = _layout.HostPhase.PHASE_ON_START
    WAITING = _layout.HostPhase.PHASE_WAITING
    ON_TICKS = _layout.HostPhase.PHASE_ON_TICKS
    ON_EVENT = _layout.HostPhase.PHASE_ON_EVENT
    ON_STOP = _layout.HostPhase.PHASE_ON_STOP

    @property
    def label(self) -> str:
        """What it is called in logs and tables: the method's name, or `import`."""
        return {HostPhase.INIT: "__init__"}.get(self, self.name.lower())


class Mode(IntEnum):
    """How much of an instrument is streamed."""

    NONE = _layout.Mode.MODE_NONE
    LTP = _layout.Mode.MODE_LTP
    QUOTE = _layout.Mode.MODE_QUOTE
    FULL = _layout.Mode.MODE_FULL


class Broker(IntEnum):
    """Whose protocol a connection speaks."""

    NONE = _layout.Broker.BROKER_NONE
    KITE = _layout.Broker.BROKER_KITE


class SegmentKind(IntEnum):
    """What a segment holds."""

    INSTANCE = _layout.SegmentKind.SEGMENT_INSTANCE
    FRAMES = _layout.SegmentKind.SEGMENT_FRAMES
    ORDERS = _layout.SegmentKind.SEGMENT_ORDERS
    TEXT = _layout.SegmentKind.SEGMENT_TEXT
    TICKS = _layout.SegmentKind.SEGMENT_TICKS
    EVENTS = _layout.SegmentKind.SEGMENT_EVENTS
    ASSIGNMENT = _layout.SegmentKind.SEGMENT_ASSIGNMENT
    WIRE = _layout.SegmentKind.SEGMENT_WIRE
    CONFIRMED = _layout.SegmentKind.SEGMENT_CONFIRMED
    LATEST = _layout.SegmentKind.SEGMENT_LATEST
    BELL = _layout.SegmentKind.SEGMENT_BELL
    ACCOUNT = _layout.SegmentKind.SEGMENT_ACCOUNT
    SUPERVISOR_STATUS = _layout.SegmentKind.SEGMENT_SUPERVISOR_STATUS
    FEED_STATUS = _layout.SegmentKind.SEGMENT_FEED_STATUS
    DECODER_STATUS = _layout.SegmentKind.SEGMENT_DECODER_STATUS
    READER = _layout.SegmentKind.SEGMENT_READER
    SIMULATOR_STATUS = _layout.SegmentKind.SEGMENT_SIMULATOR_STATUS
    STRATEGY_STATUS = _layout.SegmentKind.SEGMENT_STRATEGY_STATUS
    TOPOLOGY = _layout.SegmentKind.SEGMENT_TOPOLOGY
    CONTROL_STATUS = _layout.SegmentKind.SEGMENT_CONTROL_STATUS
    GATEWAY_STATUS = _layout.SegmentKind.SEGMENT_GATEWAY_STATUS


class Role(IntEnum):
    """What a process is."""

    NONE = _layout.Role.ROLE_NONE
    SUPERVISOR = _layout.Role.ROLE_SUPERVISOR
    FEED = _layout.Role.ROLE_FEED
    DECODER = _layout.Role.ROLE_DECODER
    SIMULATOR = _layout.Role.ROLE_SIMULATOR
    STRATEGY = _layout.Role.ROLE_STRATEGY
    CONTROL = _layout.Role.ROLE_CONTROL
    FACADE = _layout.Role.ROLE_FACADE
    GATEWAY = _layout.Role.ROLE_GATEWAY


class InstanceState(IntEnum):
    """Where an instance stands."""

    STARTING = _layout.InstanceState.INSTANCE_STARTING
    RUNNING = _layout.InstanceState.INSTANCE_RUNNING
    DRAINING = _layout.InstanceState.INSTANCE_DRAINING
    ENDED = _layout.InstanceState.INSTANCE_ENDED


class FrameKind(IntEnum):
    """What a record of a frame ring is."""

    MESSAGE = _layout.FrameKind.FRAME_MESSAGE
    STATE = _layout.FrameKind.FRAME_STATE


class EventKind(IntEnum):
    """What a record of an event stream is."""

    GAP = _layout.EventKind.EVENT_GAP
    STATE = _layout.EventKind.EVENT_STATE
    OVERRUN = _layout.EventKind.EVENT_OVERRUN
    QUARANTINE = _layout.EventKind.EVENT_QUARANTINE


class TickFlag(IntFlag):
    """What the first tier of validation says of a tick; bits of `flags`."""

    TRADABLE = _layout.TickFlag.FLAG_TRADABLE
    INDEX_LAYOUT = _layout.TickFlag.FLAG_INDEX_LAYOUT
    BAD_PRICE = _layout.TickFlag.FLAG_BAD_PRICE
    BAD_TIME = _layout.TickFlag.FLAG_BAD_TIME
    CROSSED = _layout.TickFlag.FLAG_CROSSED
    VOLUME_DOWN = _layout.TickFlag.FLAG_VOLUME_DOWN
    OHLC_INCONSISTENT = _layout.TickFlag.FLAG_OHLC_INCONSISTENT
    JUMP = _layout.TickFlag.FLAG_JUMP
    SATURATED = _layout.TickFlag.FLAG_SATURATED
    STALE_BASE = _layout.TickFlag.FLAG_STALE_BASE
    HANDOVER = _layout.TickFlag.FLAG_HANDOVER
    SYNTHETIC = _layout.TickFlag.FLAG_SYNTHETIC
