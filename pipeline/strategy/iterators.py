"""Batches, views, items and tagged ticks, each for `for` and for `async for`. Floor 3.

All of them take from the same reader: leaving one loop and starting another goes on where the
first one stopped. What a step finds without waiting is handed out at once; else the iterator waits
in pieces of at most 100 ms, between which signals and the instance's end are looked at. Copied
ticks that come alone while it waits are handed out without another look at anything else.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Generic, Protocol, Self, TypeVar

import numpy as np

from pipeline.core import layout
from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.errors import Overrun as OverrunError
from pipeline.strategy.items import Idle, Item, TaggedTicks, TickArray, Ticks

if TYPE_CHECKING:
    from pipeline.strategy.market import Market

T = TypeVar("T")
OnEvent = Callable[[Item], object]

_ANY: Final = -1
_FOREVER_NS: Final = 1 << 62


class Source(Protocol):
    """What is taken from: how to wait for it, and whether it was stopped."""

    @property
    def stopped(self) -> bool:
        """Whether there shall be no more."""

    def wait(self, timeout_ns: int, connection: int) -> None:
        """Wait for news, at most 100 ms."""

    async def wait_async(self, timeout_ns: int, connection: int) -> None:
        """As `wait`, in a helper thread."""

    def settle(self) -> None:
        """Block until no wait of a cancelled `async for` is under way."""

    async def settle_async(self) -> None:
        """As `settle`, without blocking."""


class Taker(ABC, Generic[T]):
    """What all have in common: when to wait, and when to end."""

    def __init__(self, source: Source, timeout_s: float | None, connection: int = _ANY) -> None:
        if timeout_s is not None and timeout_s < 0:
            raise ValueError(f"timeout_s is {timeout_s}: expected 0 or more, or None")
        self._source = source
        self._timeout_s = timeout_s
        self._connection = connection

    @abstractmethod
    def _take(self) -> T | None:
        """Return what is there, without waiting."""

    @abstractmethod
    def _nothing(self) -> T:
        """Return what a timeout yields."""

    def _wait(self, timeout_ns: int) -> T | None:
        """Wait for news, at most 100 ms; return them if they are at hand already."""
        self._source.wait(timeout_ns, self._connection)
        return None

    def _deadline_ns(self) -> int:
        if self._timeout_s is None:
            return _FOREVER_NS
        return monotonic_ns() + int(self._timeout_s * NS_PER_S)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        deadline = self._deadline_ns()
        self._source.settle()
        while True:
            if self._source.stopped:
                raise StopIteration
            found = self._take()
            if found is None:
                left = deadline - monotonic_ns()
                if left <= 0:
                    return self._nothing()
                found = self._wait(left)
            if found is not None:
                return found

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        deadline = self._deadline_ns()
        await asyncio.sleep(0)  # others get their turn, however much there is to take
        await self._source.settle_async()
        while True:
            if self._source.stopped:
                raise StopAsyncIteration
            found = self._take()
            if found is not None:
                return found
            left = deadline - monotonic_ns()
            if left <= 0:
                return self._nothing()
            await self._source.wait_async(left, self._connection)


class Batches(Taker[TickArray]):
    """Ticks of all connections, copied and checked; events go to `on_event`, if given."""

    def __init__(self, market: Market, timeout_s: float | None, on_event: OnEvent | None) -> None:
        super().__init__(market, timeout_s)
        self._market = market
        self._on_event = on_event

    def _take(self) -> TickArray | None:
        while (item := self._market.take()) is not None:
            if isinstance(item, Ticks):
                return item.ticks
            if self._on_event is not None:
                self._on_event(item)
        return None

    def _wait(self, timeout_ns: int) -> TickArray | None:
        return self._market.attachment.reader.wait_batch(timeout_ns)

    def _nothing(self) -> TickArray:
        return np.empty(0, layout.tick_dtype)


class Views(Taker[TickArray]):
    """Read-only ticks of one connection in place, checked when the loop comes back."""

    def __init__(
        self, market: Market, timeout_s: float | None, on_event: OnEvent | None, connection: int
    ) -> None:
        super().__init__(market, timeout_s, connection)
        self._market = market
        self._on_event = on_event
        self._handed: tuple[int, int] | None = None
        market.attachment.require(connection)

    def _take(self) -> TickArray | None:
        self._check_handed()
        while True:
            for item in self._market.take_notices():
                if self._on_event is not None:
                    self._on_event(item)
            sequence, ticks = self._market.take_view(self._connection)
            if len(ticks):
                self._handed = (sequence, len(ticks))
                return ticks
            if not self._market.has_notices:
                return None

    def _check_handed(self) -> None:
        if self._handed is None:
            return
        handed, self._handed = self._handed, None
        lost = self._market.attachment.reader.view_lost(self._connection, *handed)
        if lost:
            raise OverrunError(connection=self._connection, lost=lost)

    def _nothing(self) -> TickArray:
        empty = np.empty(0, layout.tick_dtype)
        empty.flags.writeable = False
        return empty


class Items(Taker[Item]):
    """Everything that a strategy can be told, one after another."""

    def __init__(self, market: Market, timeout_s: float | None) -> None:
        super().__init__(market, timeout_s)
        self._market = market

    def _take(self) -> Item | None:
        return self._market.take(orders=True)

    def _wait(self, timeout_ns: int) -> Ticks | None:
        ticks = self._market.attachment.reader.wait_batch(timeout_ns)
        return None if ticks is None else Ticks(ticks)

    def _nothing(self) -> Item:
        assert self._timeout_s is not None
        return Idle(self._timeout_s)


class Tagged(Taker[TaggedTicks | Item]):
    """As Items, with the ticks of each connection apart, under its account's name."""

    def __init__(self, market: Market, timeout_s: float | None) -> None:
        super().__init__(market, timeout_s)
        self._market = market
        self._parts: deque[TaggedTicks] = deque()

    def _take(self) -> TaggedTicks | Item | None:
        if self._parts:
            return self._parts.popleft()
        item = self._market.take(orders=True)
        return self._first_part(item.ticks) if isinstance(item, Ticks) else item

    def _wait(self, timeout_ns: int) -> TaggedTicks | None:
        ticks = self._market.attachment.reader.wait_batch(timeout_ns)
        return None if ticks is None else self._first_part(ticks)

    def _first_part(self, ticks: TickArray) -> TaggedTicks:
        self._parts.extend(self._split(ticks))
        return self._parts.popleft()

    def _split(self, ticks: TickArray) -> Iterator[TaggedTicks]:
        connections = ticks["connection"]
        account = self._market.attachment.account
        if connections[0] == connections[-1] and (connections == connections[0]).all():
            number = int(connections[0])
            yield TaggedTicks(account(number), number, ticks)
            return
        for number in np.unique(connections).tolist():
            yield TaggedTicks(account(number), number, np.compress(connections == number, ticks))

    def _nothing(self) -> Item:
        assert self._timeout_s is not None
        return Idle(self._timeout_s)
