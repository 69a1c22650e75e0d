"""Taking what comes: the part of a `Market` that its iterators are built on. Floor 3.

Nothing here waits but what says so. What is found at the instance's end, or in its next life, is
handed out like everything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ext.streams import ReaderPolicy
from pipeline.core.clock import NS_PER_MS, monotonic_ns, real_ns
from pipeline.core.enums import Reason
from pipeline.core.errors import Overrun as OverrunError
from pipeline.shm.instance import ended
from pipeline.strategy.attachment import Attachment, ReaderOptions
from pipeline.strategy.helper import Helper
from pipeline.strategy.items import Gap, Item, Overrun, TickArray, Ticks, item_of_notice

_LOOK_INTERVAL_NS: Final = 100 * NS_PER_MS
#: Ended, twice in a row with nothing new in between: then nothing more can come.
_ENDED_LOOKS: Final = 2


class Reading:
    """One reader of an instance, with a cursor per connection."""

    def __init__(self, attachment: Attachment, options: ReaderOptions) -> None:
        self.attachment = attachment
        self.options = options
        self.lost = 0
        self._notices: deque[Item] = deque()
        self._helper: Helper | None = None
        self._helpers: list[Helper] = []
        self._ended_looks = 0
        self._batches_at_look = 0
        self._next_look_ns = monotonic_ns() + _LOOK_INTERVAL_NS
        self._stopped = False

    def stop(self) -> None:
        """End every loop over this market, for good; from any thread or signal handler."""
        self._stopped = True
        self.attachment.reader.stop()

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._stopped

    @property
    def has_notices(self) -> bool:
        """Whether something other than ticks waits to be handed out."""
        return bool(self._notices)

    def take(self, *, orders: bool = False) -> Item | None:
        """Return the next item without waiting, None if there is none."""
        if self._notices:
            return self._next_notice()
        attachment = self.attachment
        attachment.follow_manifest()
        # Who takes no orders must not be woken by them: they would stay, and so would be news.
        attachment.reader.watch_orders = orders
        count = attachment.reader.poll()
        self._note()
        if orders:
            self._notices.extend(attachment.take_orders())
        if count:
            return Ticks(attachment.buffer[:count])
        return self._next_notice() if self._notices else self._look_at_end()

    def take_notices(self) -> Iterator[Item]:
        """Yield what waits to be handed out other than ticks."""
        while self._notices:
            yield self._next_notice()

    def take_view(self, connection: int) -> tuple[int, TickArray]:
        """Return (sequence, ticks) of one connection in place, without waiting."""
        self.attachment.follow_manifest()
        self.attachment.reader.watch_orders = False
        sequence, ticks = self.attachment.take_view(connection)
        self._note()
        if not len(ticks) and not self._notices:
            self._look_at_end()
        return sequence, ticks

    def _note(self) -> None:
        reader = self.attachment.reader
        if reader.notice_count:
            self._notices.extend(map(item_of_notice, reader.notices()))

    def _next_notice(self) -> Item:
        item = self._notices.popleft()
        if isinstance(item, Overrun) and item.stage == "reader":
            self.lost += item.lost
            if self.options.policy is ReaderPolicy.READER_RAISE:
                raise OverrunError(connection=item.connection, lost=item.lost)
        return item

    def wait(self, timeout_ns: int, connection: int) -> None:
        """Wait for news, at most 100 ms."""
        self.attachment.reader.wait(timeout_ns, connection)

    async def wait_async(self, timeout_ns: int, connection: int) -> None:
        """As `wait`, in the helper thread."""
        if self._helper is None:
            self._helper = self.make_helper("wait")
        reader = self.attachment.reader
        await self._helper.wait(lambda: reader.wait(timeout_ns, connection))

    def make_helper(self, purpose: str) -> Helper:
        """Return a thread to wait in, which ends when this market is closed."""
        self._helpers.append(Helper(f"{self.options.name}-{purpose}"))
        return self._helpers[-1]

    def settle(self) -> None:
        """Block until no wait of a cancelled `async for` is under way (at most 100 ms)."""
        if self._helper is not None:
            self._helper.join()

    async def settle_async(self) -> None:
        """As `settle`, without blocking."""
        if self._helper is not None:
            await self._helper.settle()

    # ---- the instance's end -----------------------------------------------------------------

    def _look_at_end(self) -> Item | None:
        """With nothing to take: every 100 ms, see whether the instance has ended."""
        now = monotonic_ns()
        if now >= self._next_look_ns and not self._stopped:
            self._next_look_ns = now + _LOOK_INTERVAL_NS
            batches = self.attachment.reader.batches
            if batches != self._batches_at_look:
                self._batches_at_look, self._ended_looks = batches, 0
            self._ended_looks = self._ended_looks + 1 if self.attachment.has_ended() else 0
            if self._ended_looks >= _ENDED_LOOKS:
                if not self.options.follow:
                    raise ended(self.attachment.view)
                self._succeed()
        return self._next_notice() if self._notices else None

    def _succeed(self) -> None:
        """Attach to the next life of the instance, once it has begun."""
        view = self.attachment.find_successor()
        if view is None:
            return
        before = self.attachment
        before.close()  # first: the next page has the same name
        try:
            self.attachment = Attachment(view, replace(self.options, from_oldest=True))
        except FileNotFoundError:
            return  # it has ended again already
        self._ended_looks = 0
        self._notices.extend(_gaps(before))
        if self._stopped:
            self.attachment.reader.stop()


def _gaps(before: Attachment) -> Iterator[Gap]:
    """A gap per connection, from its last tick to now; what follows is another life's."""
    for number in before.reader.connections:
        start_ts_ns, start_mono_ns = before.last_receive(number)
        yield Gap(
            connection=number,
            connection_epoch=0,
            reason=Reason.DISCONTINUITY,
            start_ts_ns=start_ts_ns,
            end_ts_ns=real_ns(),
            start_mono_ns=start_mono_ns,
            end_mono_ns=monotonic_ns(),
            tick_sequence=0,
        )
