"""What an instance received, in the order in which kiteconnect would have seen it. Floor 7.

Ticks and state changes come from the streams, a frame's ticks together; order updates, other texts
and, if asked for, raw frames from their rings. These are merged by the time of receiving. What came
in one read of the socket has one time: then ticks come before texts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ext.rings import FrameRingReader
from pipeline.core.clock import NS_PER_MS, monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.shm.segment import Segment
from pipeline.strategy.frames import read_messages
from pipeline.strategy.items import (
    Item,
    OrderUpdate,
    Overrun,
    Quarantine,
    StateChange,
    TickArray,
    Ticks,
)
from pipeline.strategy.kite_dicts import to_kite_dicts
from pipeline.strategy.market import Market
from pipeline.supervisor.backlog import Backlog

#: So many packets of a frame become visible at once; behind these there may be more.
_UNIT: Final = 256
#: A message is not held back for ticks received before it any longer than that.
_PATIENCE_NS: Final = 100 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Frame:
    """The ticks of one frame, as dicts."""

    ticks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came: a text, or a raw frame with its place in its connection's ring."""

    payload: bytes
    is_binary: bool
    receive_mono_ns: int
    connection: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class LostMessages:
    """So many texts or raw frames of a connection were overwritten before they were read."""

    connection: int
    is_binary: bool
    lost: int


Delivery = Frame | Message | LostMessages | StateChange | Overrun | Quarantine


class Inbox:
    """Takes everything that is new; `take` never waits.

    `only`: deliver no other instruments. `raw`: deliver frames as messages, too.
    """

    def __init__(self, market: Market, *, from_start: bool) -> None:
        self._market = market
        paths = market.attachment.paths
        self.only: frozenset[int] | None = None
        self._backlogs = {c.number: Backlog(paths, c.number) for c in market.connections()}
        self._texts = {n: self._ring(SegmentKind.TEXT, n, from_start) for n in self._backlogs}
        self._frames: dict[int, FrameRingReader] = {}
        self._raw = False
        self._waiting: list[Message] = []
        self._held: TickArray | None = None

    def _ring(self, kind: SegmentKind, number: int, from_start: bool) -> FrameRingReader:
        path = self._market.attachment.paths.segment(kind, number)
        mapping = Segment.attach(path, kind).mapping
        reader = FrameRingReader(mapping)
        return reader if from_start else FrameRingReader(mapping, reader.tail)

    def want_raw(self, wanted: bool, *, from_start: bool = False) -> None:
        """Begin or cease to deliver raw frames."""
        if wanted and not self._raw:
            kind = SegmentKind.FRAMES
            self._frames = {n: self._ring(kind, n, from_start) for n in self._backlogs}
        elif not wanted:
            self._frames = {}
        self._raw = wanted

    def _follow(self) -> None:
        """Read connections that have come, from their beginning; let go of those that went."""
        numbers = self._market.attachment.streams.keys()
        for gone in self._backlogs.keys() - numbers:
            del self._backlogs[gone], self._texts[gone]
            self._frames.pop(gone, None)
        for number in numbers - self._backlogs.keys():
            with contextlib.suppress(FileNotFoundError):  # it is being taken away already
                text = self._ring(SegmentKind.TEXT, number, from_start=True)
                if self._raw:
                    self._frames[number] = self._ring(SegmentKind.FRAMES, number, from_start=True)
                self._texts[number] = text
                self._backlogs[number] = Backlog(self._market.attachment.paths, number)

    @property
    def holds(self) -> bool:
        """Whether something waits for the next `take` alone."""
        return self._held is not None

    def take(self) -> Iterator[Delivery]:
        """Yield what is new, without waiting; raise InstanceEnded when there can be no more."""
        if self._market.attachment.streams.keys() != self._backlogs.keys():
            self._follow()
        caught_up = not any(backlog.frames() for backlog in self._backlogs.values())
        began_ns = monotonic_ns()
        item = self._market.take(orders=True)
        items = [] if item is None else [item, *self._market.take_notices()]
        yield from self._collect(items)
        quiet = self._held is None
        for found in items:
            yield from self._deliver(found)
        if not any(isinstance(found, Ticks) for found in items):
            yield from self._release()
            caught_up = caught_up and quiet
            yield from self._before(began_ns if caught_up else began_ns - _PATIENCE_NS)

    def _collect(self, items: list[Item]) -> list[LostMessages]:
        """Put what came by other ways than the streams in order; return what was lost of it."""
        lost: list[LostMessages] = []
        for found in items:
            if isinstance(found, OrderUpdate):
                self._waiting.append(Message(found.raw, False, found.receive_mono_ns))
        for number, reader in self._texts.items():
            lost += self._read(reader, number, is_binary=False)
        for number, reader in self._frames.items():
            lost += self._read(reader, number, is_binary=True)
        self._waiting.sort(key=lambda message: (message.receive_mono_ns, not message.is_binary))
        return lost

    def _read(
        self, reader: FrameRingReader, number: int, *, is_binary: bool
    ) -> Iterator[LostMessages]:
        before = reader.lost
        self._waiting += _messages(reader, number, is_binary=is_binary)
        if reader.lost > before:
            yield LostMessages(number, is_binary, reader.lost - before)

    def _before(self, mono_ns: int, frame: tuple[int, int] | None = None) -> Iterator[Message]:
        """Yield the messages received before that time, and the frame whose ticks come next."""
        while self._waiting:
            first = self._waiting[0]
            is_due = first.receive_mono_ns < mono_ns or (
                first.is_binary and frame is not None and first.receive_mono_ns == mono_ns
                and (first.connection != frame[0] or first.sequence <= frame[1])
            )  # fmt: skip
            if not is_due:
                return
            yield self._waiting.pop(0)

    def _deliver(self, item: Item) -> Iterator[Delivery]:
        if isinstance(item, Ticks):
            yield from self._deliver_ticks(item.ticks)
        elif isinstance(item, StateChange):
            yield from self._release()
            yield from self._before(item.mono_ns)
            yield item
        elif isinstance(item, Overrun | Quarantine):
            yield item

    def _deliver_ticks(self, ticks: TickArray) -> Iterator[Delivery]:
        if self._held is not None:
            if _frame_of(self._held[-1]) == _frame_of(ticks[0]):
                ticks, self._held = np.concatenate([self._held, ticks]), None
            else:
                yield from self._release()
        last = ticks[-1]
        if len(ticks) >= _UNIT and (
            (int(last["packet_index"]) + 1) % _UNIT == 0
            or len(ticks) >= len(self._market.attachment.buffer)
        ):
            start = _starts(ticks)[-1]
            ticks, self._held = ticks[:start], ticks[start:].copy()
        yield from self._whole_frames(ticks)

    def _release(self) -> Iterator[Delivery]:
        held, self._held = self._held, None
        if held is not None:
            yield from self._whole_frames(held)

    def _whole_frames(self, ticks: TickArray) -> Iterator[Delivery]:
        if self.only is not None and len(ticks):
            ticks = ticks[np.isin(ticks["instrument_token"], list(self.only))]
        if not len(ticks):
            return
        dicts = to_kite_dicts(ticks)
        starts = _starts(ticks)
        for start, end in zip(starts, [*starts[1:], len(ticks)], strict=True):
            yield from self._before(int(ticks[start]["receive_mono_ns"]), _frame_of(ticks[start]))
            yield Frame(dicts[start:end])


def _starts(ticks: TickArray) -> list[int]:
    """Return where each frame's ticks begin."""
    changes = (ticks["source_sequence"][1:] != ticks["source_sequence"][:-1]) | (
        ticks["connection"][1:] != ticks["connection"][:-1]
    )
    return [0, *(np.flatnonzero(changes) + 1).tolist()]


def _frame_of(tick: Any) -> tuple[int, int]:
    return int(tick["connection"]), int(tick["source_sequence"])


def _messages(reader: FrameRingReader, connection: int, *, is_binary: bool) -> Iterator[Message]:
    for found in read_messages(reader, connection):
        yield Message(found.payload, is_binary, found.receive_mono_ns, connection, found.sequence)
