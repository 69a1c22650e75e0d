"""A broker's REST for one account: governed, batched, from threads or from asyncio. Floor 3.

    RestClient       every method blocks; any number of threads may call
    AsyncRestClient  the same with `await`: waits for its turn in the event loop, and needs a
                     thread only while the HTTP request itself is under way

Instruments are named `NSE:INFY`. More of them than a call takes are asked for in several calls,
each behind the governor. Answers are the broker's own, as its official client gives them. Raises
AuthError (token rejected), RateLimited, RequestError, UpstreamError, SecretError (no token there).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import methodcaller
from typing import Any, Final, TypeVar

from pipeline.brokers.contract import Broker, Login, RestSession
from pipeline.core.rates import Endpoint
from pipeline.core.secrets import Secret
from pipeline.planning.rate_limits import Turn
from pipeline.rest.governor import Governor

TIMEOUT_S: Final = 7.0
IDLE_SESSIONS_MAX: Final = 8

T = TypeVar("T")


class RestClient:
    """One account's REST. `token` is read at each call, so that a swapped file is used at once."""

    def __init__(
        self,
        broker: Broker,
        governor: Governor,
        *,
        api_key: str,
        user: str = "",
        token: Callable[[], Secret] | None = None,
        endpoint: str | None = None,
        timeout_s: float = TIMEOUT_S,
        ca_file: str | None = None,
    ) -> None:
        self._broker = broker
        self._governor = governor
        self._api_key = api_key
        self._user = user
        self._token = token
        self._endpoint = endpoint or broker.rest.endpoint
        self._timeout_s = timeout_s
        self._ca_file = ca_file
        self._idle: list[RestSession] = []
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> RestClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def quote(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: whole quote with depth}; unknown names are left out."""
        return self._batched("quote", instruments)

    def ohlc(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: instrument_token, last_price, ohlc}."""
        return self._batched("ohlc", instruments)

    def ltp(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: instrument_token, last_price}."""
        return self._batched("ltp", instruments)

    def instruments(self, exchange: str | None = None) -> str:
        """Return the day's instrument list as CSV, of one exchange or of all."""
        return self._call(Endpoint.DEFAULT, lambda session: session.instruments(exchange))

    def profile(self) -> dict[str, Any]:
        """Return whose token this is; AuthError when it is none."""
        return self._call(Endpoint.DEFAULT, lambda session: session.profile())

    def login_address(self) -> str:
        """Return where a person logs in to get a request token."""
        return self._broker.rest.login_address(endpoint=self._endpoint, api_key=self._api_key)

    def log_in(self, request_token: Secret, api_secret: Secret) -> Login:
        """Exchange a request token for the day's access token; it is not stored."""
        return self._call(
            Endpoint.DEFAULT,
            lambda session: session.log_in(request_token, api_secret),
            with_token=False,
        )

    def log_out(self) -> None:
        """Make the access token worthless; live feeds go on until they reconnect."""
        self._call(Endpoint.DEFAULT, lambda session: session.log_out())

    def close(self) -> None:
        """Close the idle HTTP connections; those under way close with their calls."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def batches(self, call: str, instruments: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield the instruments in as many calls as the broker wants; repeated names once."""
        size = self._governor.limits.instruments_per_call[call]
        names = list(dict.fromkeys(instruments))
        for start in range(0, len(names), size):
            yield names[start : start + size]

    async def turn(self, endpoint: Endpoint) -> Turn:
        """Wait for a turn without a thread; `perform` ends it."""
        return await self._governor.acquire_async(endpoint, key=self._api_key, user=self._user)

    def perform(
        self, turn: Turn, call: Callable[[RestSession], T], *, with_token: bool = True
    ) -> T:
        """Make the call that a turn is for, on a session of its own; blocks, ends the turn."""
        with self._governor.going(turn), self._session() as session:
            read = self._token if with_token else None
            session.authorize(None if read is None else read())
            return call(session)

    def _call(
        self, endpoint: Endpoint, call: Callable[[RestSession], T], *, with_token: bool = True
    ) -> T:
        turn = self._governor.acquire(endpoint, key=self._api_key, user=self._user)
        return self.perform(turn, call, with_token=with_token)

    def _batched(self, call: str, instruments: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for batch in self.batches(call, instruments):
            found |= self._call(Endpoint.QUOTE, methodcaller(call, batch))
        return found

    @contextmanager
    def _session(self) -> Iterator[RestSession]:
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is None:
            session = self._broker.rest.open(
                endpoint=self._endpoint,
                api_key=self._api_key,
                timeout_s=self._timeout_s,
                ca_file=self._ca_file,
            )
        try:
            yield session
        finally:
            session.authorize(None)
            with self._lock:
                keep = not self._closed and len(self._idle) < IDLE_SESSIONS_MAX
                if keep:
                    self._idle.append(session)
            if not keep:
                session.close()


class AsyncRestClient:
    """The same calls for asyncio, on a RestClient's sessions."""

    def __init__(self, client: RestClient) -> None:
        self._client = client

    async def quote(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: whole quote with depth}; unknown names are left out."""
        return await self._batched("quote", instruments)

    async def ohlc(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: instrument_token, last_price, ohlc}."""
        return await self._batched("ohlc", instruments)

    async def ltp(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: instrument_token, last_price}."""
        return await self._batched("ltp", instruments)

    async def instruments(self, exchange: str | None = None) -> str:
        """Return the day's instrument list as CSV, of one exchange or of all."""
        return await self._call(Endpoint.DEFAULT, lambda session: session.instruments(exchange))

    async def profile(self) -> dict[str, Any]:
        """Return whose token this is; AuthError when it is none."""
        return await self._call(Endpoint.DEFAULT, lambda session: session.profile())

    async def _batched(self, call: str, instruments: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for batch in self._client.batches(call, instruments):
            found |= await self._call(Endpoint.QUOTE, methodcaller(call, batch))
        return found

    async def _call(self, endpoint: Endpoint, call: Callable[[RestSession], T]) -> T:
        turn = await self._client.turn(endpoint)
        # Shielded: a call that nobody waits for any more still ends its turn.
        work = asyncio.ensure_future(asyncio.to_thread(self._client.perform, turn, call))
        work.add_done_callback(_look_at)
        return await asyncio.shield(work)


def _look_at(work: asyncio.Future[Any]) -> None:
    """Take note of an exception, which asyncio would else report as never retrieved."""
    if not work.cancelled():
        work.exception()
