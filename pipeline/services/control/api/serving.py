"""uvicorn, set up to live in a loop that is not its own. Floor 4."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.core.config import GatewayConfig
from pipeline.services.control.api.guard import Guard
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.rates import Rates
from pipeline.services.control.api.token import own_token
from pipeline.services.control.front import Front
from pipeline.services.strangers import Headcount

#: Requests at a time; more are told 503.
CONCURRENCY: Final = 100
#: Of them from one address that is neither loopback nor a trusted proxy; more are cut off.
CONCURRENCY_OF_ADDRESS: Final = 40
#: A request has to be there whole so soon after its connection or the answer before it; while so
#: many are connected that others are about to be told 503, sooner.
REQUEST_S: Final = 20.0
CROWDED_REQUEST_S: Final = 1.0
CROWD: Final = CONCURRENCY // 2
_UNFINISHED: Final = (h11.IDLE, h11.SEND_BODY)


class Server(uvicorn.Server):
    """A server that leaves signals to the control process.

    It cuts off who connects and does not ask, or not to the end: such a caller would count
    against CONCURRENCY for as long as he likes.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._waiting: dict[Any, tuple[Any, float]] = {}  # for what, and since when

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections, ten times a second."""
        self.cut_off(time.monotonic())
        return await super().on_tick(counter)

    def cut_off(self, now_s: float) -> None:
        """Cut off those whose request has been coming for too long."""
        connections = list(self.server_state.connections)
        patience_s = CROWDED_REQUEST_S if len(connections) > CROWD else REQUEST_S
        before, self._waiting = self._waiting, {}
        for one in connections:
            state = (one.cycle, one.conn.their_state)  # type: ignore[union-attr]
            if state[1] not in _UNFINISHED:
                continue
            known, since_s = before.get(one, (None, now_s))
            since_s = since_s if known == state else now_s
            self._waiting[one] = state, since_s
            if now_s - since_s >= patience_s and one.transport is not None:
                one.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class Connection(H11Protocol):
    """A connection, unless there are too many of its address: nobody takes all the room."""

    def __init__(self, *given: Any, rates: Rates, here: Headcount, **named: Any) -> None:
        super().__init__(*given, **named)
        self._rates = rates
        self._here = here
        self._address: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self._rates.address(self.client[0] if self.client else "", None)
        if self._here.enter(address):
            self._address = address
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._here.leave(self._address)


def make_server(front: Front, *, end_s: int) -> tuple[Guard, Server]:
    """Return a guard that lets nobody in yet, and a server of it, to be given its socket."""
    settings, gateway = front.config.api, front.config.gateway or GatewayConfig()
    assert settings is not None
    rates = Rates(settings.changes_per_s, settings.trusted_proxies, gateway)
    guard = Guard(
        own_token(front.paths), rates, sessions=front.sessions,
        origins=Origins([settings.host, *settings.hosts]), part_of=front.part_of,
    )  # fmt: skip
    config = uvicorn.Config(
        guard,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http=partial(Connection, rates=rates, here=Headcount(CONCURRENCY_OF_ADDRESS)),  # type: ignore[arg-type]
        limit_concurrency=CONCURRENCY,
        timeout_graceful_shutdown=end_s,
        proxy_headers=False,
    )
    return guard, Server(config)
