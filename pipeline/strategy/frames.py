"""Raw frames: what a connection's socket brought, byte for byte, before it is decoded. Floor 3.

The feed publishes every binary message in its frame ring, also heartbeats of one byte; whoever
wants reads it there beside the decoder, and costs neither of them anything. A reader that was
lapped is told how many frames it lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ext.cells import Bell
from ext.rings import FrameRingReader
from pipeline.core import layout
from pipeline.core.clock import NS_PER_MS, monotonic_ns
from pipeline.core.enums import FrameKind, SegmentKind
from pipeline.shm.instance import ManifestEntry, ended
from pipeline.shm.names import INSTANCE_BELL
from pipeline.shm.segment import Segment
from pipeline.strategy.helper import Helper
from pipeline.strategy.items import Idle, Overrun, RawFrame
from pipeline.strategy.iterators import Taker

if TYPE_CHECKING:
    from pipeline.strategy.market import Market

_WAIT_NS: Final = 100 * NS_PER_MS
#: Ended, twice in a row with nothing new in between: then nothing more can come.
_ENDED_LOOKS: Final = 2


def read_messages(reader: FrameRingReader, connection: int) -> Iterator[RawFrame]:
    """Yield the messages of a ring that are there now; `reader.lost` counts what was missed."""
    while reader.cursor < reader.tail:
        found = reader.poll()
        if found is not None and found["kind"] == FrameKind.MESSAGE:
            yield RawFrame(
                connection=connection,
                connection_epoch=found["connection_epoch"],
                sequence=found["sequence"],
                receive_ts_ns=found["receive_ts_ns"],
                receive_mono_ns=found["receive_mono_ns"],
                payload=found["payload"],
            )


class FrameSource:
    """The frame rings of one connection or of all, also of those that come later.

    A cursor of its own: it may be read in another thread than its market.
    """

    def __init__(self, market: Market, connection: int | None, *, oldest: bool) -> None:
        self._market = market
        self._attachment = market.attachment
        self._only = connection
        self._rings: dict[int, FrameRingReader] = {}
        self._turns: deque[int] = deque()
        self._version = -1
        self._bell_number = INSTANCE_BELL
        self._bell = self._attach_bell(INSTANCE_BELL)
        self._helper: Helper | None = None
        self._ended_looks = 0
        self._next_look_ns = 0
        self._overrun: RawFrame | None = None  # the first one after it
        self._follow(oldest=oldest)
        if connection is not None and connection not in self._rings:
            market.attachment.require(connection)

    @property
    def stopped(self) -> bool:
        """Whether the market was stopped."""
        return self._market.stopped

    def take(self) -> RawFrame | Overrun | None:
        """Return the next frame, or how many were lost before it; None when there is none."""
        if self._overrun is not None:
            after, self._overrun = self._overrun, None
            return after
        self._follow(oldest=True)
        for _ in range(len(self._turns)):
            number = self._turns[0]
            self._turns.rotate(-1)  # each connection in its turn
            reader = self._rings[number]
            lost, first = reader.lost, reader.cursor
            frame = next(read_messages(reader, number), None)
            if frame is None:
                continue
            self._ended_looks = 0
            if reader.lost == lost:
                return frame
            self._overrun = frame
            return Overrun(
                connection=number, stage="frames", lost=reader.lost - lost, first_sequence=first
            )
        self._look_at_end()
        return None

    def _look_at_end(self) -> None:
        now = monotonic_ns()
        if now < self._next_look_ns:
            return
        self._next_look_ns = now + _WAIT_NS
        self._ended_looks = self._ended_looks + 1 if self._attachment.has_ended() else 0
        if self._ended_looks >= _ENDED_LOOKS:
            raise ended(self._attachment.view)

    # ---- connections ------------------------------------------------------------------------

    def _follow(self, *, oldest: bool) -> None:
        view = self._attachment.view
        if view.version == self._version:
            return
        self._version = view.version
        manifest = self._attachment.own(view.read().manifest)
        wanted = {
            entry.number: entry
            for entry in manifest
            if entry.kind is SegmentKind.FRAMES and self._only in (None, entry.number)
        }
        for number in wanted.keys() - self._rings.keys():
            self._add(number, oldest=oldest)
        for number in self._rings.keys() - wanted.keys():
            if self._rings[number].cursor < self._rings[number].tail:
                self._version = -1  # not before it is read to its end
            else:
                del self._rings[number]
                self._turns.remove(number)
        self._choose_bell(list(wanted.values()))

    def _add(self, number: int, *, oldest: bool) -> None:
        try:
            path = self._attachment.paths.segment(SegmentKind.FRAMES, number)
            mapping = Segment.attach(path, SegmentKind.FRAMES).mapping
        except FileNotFoundError:
            return  # it is being taken away at this moment
        reader = FrameRingReader(mapping)
        self._rings[number] = reader if oldest else FrameRingReader(mapping, reader.tail)
        self._turns.append(number)

    def _choose_bell(self, entries: list[ManifestEntry]) -> None:
        """Listen to the bell that the feeds ring; with several, to the one that follows theirs."""
        decoders = {entry.decoder for entry in entries}
        number = decoders.pop() if len(decoders) == 1 else INSTANCE_BELL
        if number != self._bell_number:
            self._bell_number, self._bell = number, self._attach_bell(number)

    def _attach_bell(self, number: int) -> Bell:
        path = self._attachment.paths.segment(SegmentKind.BELL, number)
        segment = Segment.attach(path, SegmentKind.BELL, writable=True)
        return Bell(segment.mapping, layout.data_offset)

    # ---- waiting ----------------------------------------------------------------------------

    def _has_news(self) -> bool:
        return any(reader.cursor < reader.tail for reader in self._rings.values())

    def _wait(self, timeout_ns: int) -> int:
        bell = self._bell
        seen = bell.look()
        if not self._has_news():
            bell.arm()
            if not self._has_news():
                bell.sleep(seen, min(timeout_ns, _WAIT_NS))
        return 0

    def wait(self, timeout_ns: int, connection: int) -> None:
        """Wait for news, at most 100 ms."""
        self._wait(timeout_ns)

    async def wait_async(self, timeout_ns: int, connection: int) -> None:
        """As `wait`, in a helper thread."""
        if self._helper is None:
            self._helper = self._market.make_helper("frames")
        await self._helper.wait(lambda: self._wait(timeout_ns))

    def settle(self) -> None:
        """Block until no wait of a cancelled `async for` is under way."""
        if self._helper is not None:
            self._helper.join()

    async def settle_async(self) -> None:
        """As `settle`, without blocking."""
        if self._helper is not None:
            await self._helper.settle()


class Frames(Taker[RawFrame | Overrun | Idle]):
    """Raw frames one by one, for `for` and `async for`; Overrun before the first after a loss."""

    def __init__(self, source: FrameSource, timeout_s: float | None) -> None:
        super().__init__(source, timeout_s)
        self._frames = source

    def _take(self) -> RawFrame | Overrun | None:
        return self._frames.take()

    def _nothing(self) -> Idle:
        assert self._timeout_s is not None
        return Idle(self._timeout_s)


def open_frames(
    market: Market, connection: int | None, timeout_s: float | None, *, oldest: bool
) -> Frames:
    """Return an iterator over the raw frames of a market's instance."""
    return Frames(FrameSource(market, connection, oldest=oldest), timeout_s)
