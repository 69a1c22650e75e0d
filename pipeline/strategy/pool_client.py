"""`PoolClient`: handlers for the ticks of any number of instruments, in asyncio. Floor 3.

The same call for 10 instruments and for 9,000: which connections and accounts carry them is the
pool's affair. It stands on one Market: its async iterator with one helper thread, and its demand.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from pipeline.core.control import Ask, Instrument, Subscribe, mode_of
from pipeline.core.enums import Reason, State
from pipeline.core.errors import AuthError, PipelineError, UpstreamError
from pipeline.core.errors import Overrun as OverrunError
from pipeline.shm.names import DEFAULT_ROOT
from pipeline.strategy.demand import SubscribeResult
from pipeline.strategy.forms import as_forms
from pipeline.strategy.items import (
    Item,
    Overrun,
    Quarantine,
    StateChange,
    TaggedTicks,
    TickArray,
)
from pipeline.strategy.iterators import Tagged
from pipeline.strategy.market import attach
from pipeline.strategy.selecting import ticks_of

OnTicks = Callable[[str, TickArray], Awaitable[object] | object]
OnError = Callable[[str, Exception], Awaitable[object] | object]

#: States in which a connection brings nothing, and is not meant to.
_TROUBLES: Final = frozenset(
    {State.STALLED, State.RECONNECTING, State.LIMITED, State.AUTH_EXPIRED, State.FAILED}
)

_log = logging.getLogger("pipeline.strategy")


@dataclass(eq=False)
class _Handlers:
    """Two handlers, and the tokens whose ticks are theirs."""

    on_ticks: OnTicks
    on_error: OnError | None
    tokens: set[int] = field(default_factory=set)
    sorted_tokens: np.ndarray[Any, np.dtype[np.uint32]] = field(
        default_factory=lambda: np.empty(0, np.uint32)
    )

    def change(self, *, more: Iterable[int] = (), gone: Iterable[int] = ()) -> None:
        self.tokens = (self.tokens | set(more)) - set(gone)
        self.sorted_tokens = np.array(sorted(self.tokens), np.uint32)


class PoolClient:
    """A client of an instance with a `[pool]`; used in one event loop, with `async with`.

    instance: its name. mode: of subscriptions that name none. What else `attach` takes may be
    given: `name`, `policy`, `from_`, `buffer_ticks`, `spin_us`, `nap_us`, `wait_s`, `owner`.

    Raises InstanceNotFound as `attach` does.
    """

    def __init__(
        self, instance: str, *, mode: str = "quote", shm_directory: str | Path = DEFAULT_ROOT,
        **options: Any,
    ) -> None:  # fmt: skip
        mode_of(mode)
        self.mode = mode
        self.market = attach(instance, shm_directory=shm_directory, **options)
        self._handlers: list[_Handlers] = []
        self._pump: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self.close()

    # ---- subscribing ------------------------------------------------------------------------

    async def subscribe_tokens(
        self, tokens: Instrument | Iterable[Instrument], on_ticks: OnTicks,
        on_error: OnError | None = None, *, mode: str | None = None, **more: Any,
    ) -> SubscribeResult:  # fmt: skip
        """Subscribe to instruments and have their ticks handed to `on_ticks(account_id, ticks)`.

        tokens: tokens and names. The handlers of an instrument are those that were given last.
        on_ticks: a function or a coroutine function. `ticks` is an (n,) array of its own, of one
          connection; `pipeline.to_kite_dicts(ticks)` makes the dicts of KiteTicker. While it runs
          nothing else is delivered.
        on_error: gets (account_id, error): a connection that is interrupted, a token that was
          rejected, ticks that were lost because the handlers are too slow, what a handler raised.
          Without it errors are logged.
        more: what `Market.subscribe` takes besides: partial, priority, account, connection, group.

        Raises what `Market.subscribe` does; then nothing has changed.
        """
        if more.get("follow"):
            raise ValueError("follow: handlers keep to their instruments; use Market.subscribe")
        forms = as_forms(tokens)
        request = Subscribe(instruments=forms, mode=mode or self.mode, **more)
        mode_of(request.mode)
        demand = self.market.demand()
        handlers = self._handlers_of(on_ticks, on_error)
        before = set(handlers.tokens)
        # The first tick may come before the answer: who gets it must be known earlier.
        handlers.change(more=[form for form in forms if isinstance(form, int)])
        try:
            result = await asyncio.to_thread(demand.subscribe, request)
        except BaseException:
            handlers.change(gone=handlers.tokens - before)
            raise
        refused = {refusal.instrument for refusal in result.refused}
        accepted = {t for t in demand.tokens_of(forms) if t not in refused}
        handlers.change(more=accepted, gone=handlers.tokens - before - accepted)
        for other in self._handlers:
            if other is not handlers:
                other.change(gone=accepted)
        self._start()
        return result

    async def unsubscribe_tokens(self, tokens: Instrument | Iterable[Instrument]) -> int:
        """Want instruments no longer; return how many were wanted."""
        forms = as_forms(tokens)
        demand = self.market.demand()
        removed = await asyncio.to_thread(demand.unsubscribe, forms)
        gone = demand.tokens_of(forms)
        for handlers in self._handlers:
            handlers.change(gone=gone)
        self._handlers = [handlers for handlers in self._handlers if handlers.tokens]
        return removed

    async def set_mode(
        self, mode: str, tokens: Instrument | Iterable[Instrument]
    ) -> SubscribeResult:
        """Change the mode of instruments that are wanted."""
        mode_of(mode)
        return await asyncio.to_thread(self.market.demand().set_mode, as_forms(tokens), mode)

    async def stats(self, account_id: str | None = None) -> Any:
        """Return the pool's statistics, of all accounts or of one, as a JSON document has them."""
        request = Ask(about="stats", account=account_id)
        return await asyncio.to_thread(self.market.demand().request, request)

    def stream(self, timeout_s: float | None = None) -> Tagged:
        """Iterate with `async for` over everything that the instance streams, without handlers.

        Yields TaggedTicks(account, connection, ticks), and events as `Market.stream` does.
        """
        if self._pump is not None:
            raise PipelineError(
                "this PoolClient hands its ticks to handlers: stream from another one"
            )
        return self.market.tagged(timeout_s)

    async def wait_closed(self) -> None:
        """Wait until the instance has ended or the client was closed."""
        if self._pump is not None:
            await asyncio.wait([self._pump])

    async def close(self) -> None:
        """Stop calling handlers and detach; what was wanted lives on for the grace."""
        self.market.stop()
        pump, self._pump = self._pump, None
        if pump is not None and pump is not asyncio.current_task():
            pump.cancel()
            await asyncio.wait([pump])
        await asyncio.to_thread(self.market.close)

    # ---- delivering -------------------------------------------------------------------------

    def _handlers_of(self, on_ticks: OnTicks, on_error: OnError | None) -> _Handlers:
        for handlers in self._handlers:
            if (handlers.on_ticks, handlers.on_error) == (on_ticks, on_error):
                return handlers
        self._handlers.append(_Handlers(on_ticks, on_error))
        return self._handlers[-1]

    def _start(self) -> None:
        if self._pump is None:
            self._pump = asyncio.create_task(self._deliver_all(), name="pool-client")

    async def _deliver_all(self) -> None:
        items = self.market.tagged()
        while True:
            try:
                async for item in items:
                    await self._deliver(item)
            except OverrunError as error:  # of the policy "raise"; it goes on when asked again
                await self._tell(self.market.attachment.account(error.connection), error)
                continue
            except PipelineError as error:
                for account in self._accounts():
                    await self._tell(account, error)
            return

    def _accounts(self) -> list[str]:
        return sorted({info.account for info in self.market.connections()}) or [""]

    async def _deliver(self, item: TaggedTicks | Item) -> None:
        if isinstance(item, TaggedTicks):
            for handlers in list(self._handlers):
                mine = ticks_of(item.ticks, handlers.sorted_tokens)
                if len(mine):
                    await self._call(handlers, item.account, mine)
            return
        error = error_of(item)
        if error is not None:
            await self._tell(self.market.attachment.account(_connection(item)), error)

    async def _call(self, handlers: _Handlers, account: str, ticks: TickArray) -> None:
        caught = _Caught()
        with caught:
            result = handlers.on_ticks(account, ticks)
            if inspect.isawaitable(result):
                await result
        if caught.error is not None:
            await self._tell_one(handlers.on_error, account, caught.error)

    async def _tell(self, account: str, error: PipelineError) -> None:
        for on_error in {handlers.on_error for handlers in self._handlers} or {None}:
            await self._tell_one(on_error, account, error)

    async def _tell_one(self, on_error: OnError | None, account: str, error: Exception) -> None:
        if on_error is None:
            is_own = isinstance(error, PipelineError)
            _log.warning("%s: %s", account, error, exc_info=None if is_own else error)
            return
        caught = _Caught()
        with caught:
            result = on_error(account, error)
            if inspect.isawaitable(result):
                await result
        if caught.error is not None:
            _log.error("on_error raised; the stream goes on", exc_info=caught.error)


class _Caught:
    """`with` it: what is raised inside is kept, unless it is no Exception, as a cancellation."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __enter__(self) -> None:
        """Run user code."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:  # fmt: skip
        if isinstance(error, Exception):
            self.error = error
        return isinstance(error, Exception)


def _connection(item: Any) -> int:
    return int(item.connection)


def error_of(item: Item | TaggedTicks) -> PipelineError | None:
    """Return the error that an item is to a client, None for what is none."""
    if isinstance(item, StateChange) and item.state in _TROUBLES:
        words = f"connection {item.connection} is {item.state.name}, {item.reason.name}"
        text = words + (f" ({item.detail})" if item.detail else "")
        rejected = item.state is State.AUTH_EXPIRED or item.reason is Reason.AUTH_REJECTED
        return AuthError(text) if rejected else UpstreamError(text)
    if isinstance(item, Overrun) and item.stage == "reader":
        return OverrunError(connection=item.connection, lost=item.lost)
    if isinstance(item, Overrun | Quarantine):
        return PipelineError(f"connection {item.connection}: {item}")
    return None
