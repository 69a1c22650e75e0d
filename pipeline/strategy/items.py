"""What a strategy's stream yields: small immutable objects, for `match` and `isinstance`. Floor 3.

Times are UTC nanoseconds (`_ts_ns`) and this host's CLOCK_MONOTONIC (`_mono_ns`). `tick_sequence`
is the sequence of the connection's tick that an item precedes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np

from ext.streams import NoticeKind
from pipeline.core.enums import EventKind, Reason, State

TickArray = np.ndarray[Any, Any]

_NS: Final = 1_000_000_000
_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True, eq=False)
class Ticks:
    """New ticks of one or more connections: an (n,) array of `pipeline.tick_dtype`.

    The array lies in the reader's own buffer and is valid until the next item is asked for; use
    `ticks.copy()` to keep it.
    """

    ticks: TickArray

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True, slots=True, eq=False)
class TaggedTicks:
    """New ticks of one connection, with its account's name; valid as those of `Ticks` are."""

    account: str
    connection: int
    ticks: TickArray

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFrame:
    """A binary message as it came from the broker; a heartbeat is one byte."""

    connection: int
    connection_epoch: int
    sequence: int
    receive_ts_ns: int
    receive_mono_ns: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Nothing was received of a connection from `start` (the last message) to `end` (the next).

    `instrument_token`: of this one alone, which has changed its connection, and not without a break
    (reason `MOVED`). It was last on one that was decoded until `start`, and has its first tick on
    this one at `end`. None: of every instrument on the connection.
    """

    connection: int
    connection_epoch: int
    reason: Reason
    start_ts_ns: int
    end_ts_ns: int
    start_mono_ns: int
    end_mono_ns: int
    tick_sequence: int
    instrument_token: int | None = None

    @property
    def duration_s(self) -> float:
        """How long it lasted, by the monotonic clock."""
        return (self.end_mono_ns - self.start_mono_ns) / _NS


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A connection entered a state. `detail`: close code, HTTP status, signal or exit code."""

    connection: int
    connection_epoch: int
    state: State
    reason: Reason
    detail: int
    ts_ns: int
    mono_ns: int
    tick_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """Something was overwritten before it was read, and this is how much.

    stage "reader": this strategy was too slow; `lost` ticks from `first_sequence` on.
    stage "events": this strategy was too slow for events; `lost` of them.
    stage "orders": this strategy was too slow for order updates; `lost` of them.
    stage "frames": this strategy was too slow for raw frames; `lost` of them.
    stage "decoder": the decoder was away too long; `lost` frames, `lost_bytes` bytes, received
    from `start_ts_ns` to `end_ts_ns` (both 0 in the other stages).
    """

    connection: int
    stage: Literal["reader", "events", "orders", "frames", "decoder"]
    lost: int
    first_sequence: int = 0
    lost_bytes: int = 0
    start_ts_ns: int = 0
    end_ts_ns: int = 0
    tick_sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The rest of a frame was put aside because it had killed two decoders."""

    connection: int
    connection_epoch: int
    source_sequence: int
    start_ts_ns: int
    tick_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdate:
    """An order update as the broker sent it; not ordered against ticks.

    `order` is the decoded JSON object, without the broker's `{"type", "data"}` envelope; None if
    `raw` holds no JSON object.
    """

    connection: int
    connection_epoch: int
    sequence: int
    receive_ts_ns: int
    receive_mono_ns: int
    order: dict[str, Any] | None
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Told to a hosted strategy first of all: a process of it ran before, and ended so.

    `exit_code` is minus the signal, as subprocess has it; `restarts` counts from 1. What the
    process before was handed is not handed out again: where reading goes on, nothing is missing,
    and what was overwritten meanwhile is an Overrun of its own.
    """

    restarts: int
    exit_code: int
    reason: Reason
    end_ts_ns: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happened for `timeout_s`: time for housekeeping."""

    timeout_s: float


Item = Ticks | Gap | StateChange | Overrun | Quarantine | OrderUpdate | Restart | Idle
Notice = tuple[int, int, int, int, dict[str, int] | None]


def item_of_notice(notice: Notice) -> Item:
    """Return what a notice of the compiled reader says."""
    kind, connection, sequence, lost, event = notice
    if kind == NoticeKind.NOTICE_TICKS_LOST:
        return Overrun(
            connection=connection, stage="reader", lost=lost, first_sequence=sequence,
            tick_sequence=sequence + lost,
        )  # fmt: skip
    if kind == NoticeKind.NOTICE_EVENTS_LOST:
        return Overrun(connection=connection, stage="events", lost=lost, first_sequence=sequence)
    assert event is not None
    return _item_of_event(EventKind(event["kind"]), event)


def _item_of_event(kind: EventKind, event: dict[str, int]) -> Item:
    if kind is EventKind.GAP:
        return Gap(
            connection=event["connection"],
            connection_epoch=event["connection_epoch"],
            reason=Reason(event["reason"]),
            start_ts_ns=event["start_ts_ns"],
            end_ts_ns=event["end_ts_ns"],
            start_mono_ns=event["start_mono_ns"],
            end_mono_ns=event["end_mono_ns"],
            tick_sequence=event["tick_sequence"],
            instrument_token=event["detail"] or None,
        )
    if kind is EventKind.STATE:
        return StateChange(
            connection=event["connection"],
            connection_epoch=event["connection_epoch"],
            state=State(event["state"]),
            reason=Reason(event["reason"]),
            detail=_signed(event["detail"]),
            ts_ns=event["start_ts_ns"],
            mono_ns=event["start_mono_ns"],
            tick_sequence=event["tick_sequence"],
        )
    if kind is EventKind.OVERRUN:
        return Overrun(
            connection=event["connection"],
            stage="decoder",
            lost=event["frames"],
            lost_bytes=event["detail"],
            start_ts_ns=event["start_ts_ns"],
            end_ts_ns=event["end_ts_ns"],
            tick_sequence=event["tick_sequence"],
        )
    return Quarantine(
        connection=event["connection"],
        connection_epoch=event["connection_epoch"],
        source_sequence=event["detail"],
        start_ts_ns=event["start_ts_ns"],
        tick_sequence=event["tick_sequence"],
    )


def _signed(word: int) -> int:
    """A descriptor's signed detail travels in an event's unsigned one."""
    return word - (1 << 64) if word >> 63 else word


def order_update(connection: int, message: dict[str, Any]) -> OrderUpdate:
    """Return a message of an order ring as an item."""
    raw = message["payload"]
    return OrderUpdate(
        connection=connection,
        connection_epoch=message["connection_epoch"],
        sequence=message["sequence"],
        receive_ts_ns=message["receive_ts_ns"],
        receive_mono_ns=message["receive_mono_ns"],
        order=_order(raw),
        raw=raw,
    )


def _order(raw: bytes) -> dict[str, Any] | None:
    try:
        found = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        found = found["data"]
    return found if isinstance(found, dict) else None
