"""`/api/websocket`: what OpenAlgo's own page asks for, and its dashboards. Floor 4.

For who has a session, or the token of the instance. The page is given the gateway's address and a
key; the prices and the demand are those of the session's account and its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.responses import Response

from pipeline.core.clock import NS_PER_MS
from pipeline.core.control import Ask, Declare, Instrument, Problem, Subscribe, Unsubscribe
from pipeline.services.control.api.answers import STATUS, json_answer
from pipeline.services.control.api.entrance import is_secure
from pipeline.services.control.api.openalgo import access, listing
from pipeline.services.control.api.openalgo.access import PageKeys
from pipeline.services.control.api.openalgo.bodies import Item, UnwantedBody, WantedBody
from pipeline.services.control.api.openalgo.documents import has_ticked, quote_document
from pipeline.services.control.api.openalgo.prices import Prices
from pipeline.services.control.api.openalgo.replies import (
    Failed,
    failures,
    shown,
    success,
    who_asks,
)
from pipeline.services.control.api.openalgo.schemas import WEBSOCKET
from pipeline.services.control.api.openalgo.state import health_document
from pipeline.services.control.front import Front

#: Whose the demand of dashboards is.
CLIENT: Final = "websocket-api"
ROWS_MAX: Final = 5000
_MODES: Final = {"LTP": "ltp", "Quote": "quote", "Depth": "full"}
_LABELS: Final = {word: label for label, word in _MODES.items()}
_NO_GATEWAY: Final = "There is no gateway: it takes [gateway] in the config"
_REVOKED: Final = (
    "The key of this page was revoked: come in again, by the address that "
    "`python -m pipeline screen` prints"
)
_NOT_HIS: Final = "The gateway's counts are those of all owners' clients together"
_NO_SESSION: Final = "A key is given to a page that has a session"


class WebSocketPaths:
    """One method per path."""

    def __init__(self, front: Front, keys: PageKeys, prices: Prices, broker: Any) -> None:
        self._front = front
        self._keys = keys
        self._prices = prices
        self._broker = broker

    def router(self) -> APIRouter:
        """Return the paths."""
        cookie = APIKeyCookie(name=self._front.sessions.cookie, auto_error=False)
        known = [Depends(cookie), Depends(HTTPBearer(auto_error=False))]  # for the document
        router = APIRouter(prefix="/api/websocket", tags=["openalgo"], dependencies=known)
        questions = (
            self.config, self.apikey, self.status, self.subscriptions, self.market_data,
            self.health, self.trade_safe, self.metrics,
        )  # fmt: skip
        for path in questions:
            name = path.__name__.replace("_", "-")
            responses = {**WEBSOCKET[name], **failures(400, 401, 404, 503)}
            router.add_api_route(f"/{name}", path, responses=responses)
        for change in (self.subscribe, self.unsubscribe, self.unsubscribe_all):
            name = change.__name__.replace("_", "-")
            responses = {**WEBSOCKET[name], **failures(400, 401, 403, 404, 429, 503)}
            router.add_api_route(f"/{name}", change, methods=["POST"], responses=responses)
        return router

    # ---- a page that connects ---------------------------------------------------------------

    async def config(self, request: Request) -> Response:
        """Where the gateway is, for the name that the page was asked for by."""
        config = self._front.config
        port = access.gateway_port(config, self._front.paths)
        if config.gateway is None:
            raise Failed(404, _NO_GATEWAY)
        if not port:
            raise Failed(503, "The gateway is starting")
        host, secure = config.gateway.host, is_secure(request)
        asked = request.headers.get("host", host)
        return success(
            websocket_url=access.gateway_address(host, port, asked, secure=secure),
            is_secure=secure,
            original_url=access.socket_address(host, port),
        )

    async def apikey(self, request: Request) -> Response:
        """The key of the page's session, made when it is first asked for; good for 12 hours."""
        session = who_asks(request).session
        if session is None:
            raise Failed(401, _NO_SESSION)
        key = await self._keys.key(session)
        if key is None:
            raise Failed(404, _REVOKED)
        return success(api_key=key)

    # ---- dashboards -------------------------------------------------------------------------

    async def status(self, request: Request) -> Response:
        """Whether there is a connection to the broker, and what is on it."""
        found = self._health(request)
        names = ("connected", "authenticated", "total_subscribers", "cache_size")
        return success(
            **{name: found[name] for name in names}, broker=self._broker(self._account(request)),
        )  # fmt: skip

    async def health(self, request: Request) -> Response:
        """How well the streaming is, and whether prices are fresh enough to trade on."""
        return json_answer(self._health(request))

    async def trade_safe(self, request: Request) -> Response:
        """Whether prices are fresh enough to trade on."""
        found = self._health(request)
        names = ("trade_management_safe", "trade_management_reason", "last_data_age_seconds")
        return success(**{name: found[name] for name in names})

    async def metrics(self, request: Request) -> Response:
        """The gateway's counts, of the clients of all owners."""
        if self._front.part_of(who_asks(request).session) is not None:
            raise Failed(403, _NOT_HIS)
        return success(metrics=access.gateway_counts(self._front.paths))

    async def subscriptions(self, request: Request) -> Response:
        """What is wanted from the broker for this owner: of all clients together."""
        ask = Ask(about="subscriptions", limit=ROWS_MAX)
        rows = self._front.answer(ask, self._owner(request)).result
        catalogue = await asyncio.to_thread(self._front.catalogue)
        found = []
        for row in rows:
            instrument = catalogue.get(row["instrument_token"])
            if instrument is not None:
                exchange, _, symbol = catalogue.openalgo_key(instrument).partition(":")
                mode = _LABELS[row["mode"]]
                found.append({"symbol": symbol, "exchange": exchange, "mode": mode})
        return success(count=len(found), subscriptions=found)

    async def market_data(
        self,
        request: Request,
        symbol: str = Query(min_length=1, max_length=64),
        exchange: str = Query(pattern=r"^[A-Z_]{1,16}$"),
    ) -> Response:
        """The newest tick of what is streamed already."""
        catalogue = await asyncio.to_thread(self._front.catalogue)
        instrument = listing.find(catalogue, exchange, symbol)
        if instrument is None:
            raise Failed(404, f"{exchange}:{shown(symbol)} is not in the list of symbols")
        tick = self._prices.newest(self._owner(request), [instrument.instrument_token])[0]
        if not has_ticked(tick):
            raise Failed(404, f"No tick of {exchange}:{shown(symbol)}: subscribe to it first")
        names = {"symbol": symbol, "exchange": exchange}
        time_ms = int(tick["receive_ts_ns"]) // NS_PER_MS
        return success(data={**names, **quote_document(tick), "timestamp": time_ms})

    # ---- demand -----------------------------------------------------------------------------

    async def subscribe(self, body: WantedBody, request: Request) -> Response:
        """Want instruments, until they are unsubscribed."""
        tokens, failed = await self._tokens(body.symbols)
        wanted: list[Instrument] = list(tokens)
        if not wanted:
            return _changed("Nothing to subscribe to", {}, failed)
        mode = _MODES[body.mode]
        answer = self._front.demand(
            CLIENT,
            Subscribe(instruments=wanted, mode=mode, partial=True),
            self._owner(request),
        )
        if answer.problem is not None:
            raise _failed(answer.problem)
        for row in answer.result["refused"]:
            item = tokens.pop(row["instrument"])
            failed.append({**_named(item), "message": row["text"]})
        return _changed(f"Subscribed to {len(tokens)} symbols", tokens, failed)

    async def unsubscribe(self, body: UnwantedBody, request: Request) -> Response:
        """Want instruments no longer."""
        tokens, failed = await self._tokens(body.symbols)
        if tokens:
            gone = Unsubscribe(instruments=list(tokens))
            answer = self._front.demand(CLIENT, gone, self._owner(request))
            if answer.problem is not None:
                raise _failed(answer.problem)
        return _changed(f"Unsubscribed from {len(tokens)} symbols", tokens, failed)

    async def unsubscribe_all(self, request: Request) -> Response:
        """Want nothing any more."""
        answer = self._front.demand(CLIENT, Declare(wants={}), self._owner(request))
        if answer.problem is not None:
            raise _failed(answer.problem)
        return success(message="Unsubscribed from all symbols")

    # ---- inside -----------------------------------------------------------------------------

    def _health(self, request: Request) -> dict[str, Any]:
        """Return how well the streaming is of the owner whose prices who asks would trade on."""
        front, owner = self._front, self._owner(request)
        stats = front.stats(owner)
        if front.part_of(who_asks(request).session) is None:
            subscribers = access.gateway_counts(front.paths).get("authenticated", 0)
        else:
            subscribers = stats["pool"]["clients"]
        return health_document(stats, subscribers, front.health()["uptime_s"])

    def _account(self, request: Request) -> str:
        session = who_asks(request).session
        named = "" if session is None else session.account
        return named or self._front.config.accounts[0].name

    def _owner(self, request: Request) -> str:
        return self._front.config.account(self._account(request)).owner

    async def _tokens(self, items: Iterable[Item]) -> tuple[dict[int, Item], list[dict[str, str]]]:
        """Return the items by instrument token, and those that are not listed."""
        catalogue = await asyncio.to_thread(self._front.catalogue)
        tokens, failed = {}, []
        for item in items:
            found = listing.find(catalogue, item.exchange, item.symbol)
            if found is None:
                failed.append({**_named(item), "message": "It is not in the list of symbols"})
            else:
                tokens[found.instrument_token] = item
        return tokens, failed


def _named(item: Item) -> dict[str, str]:
    return {"symbol": item.symbol, "exchange": item.exchange}


def _changed(text: str, tokens: dict[int, Item], failed: list[dict[str, str]]) -> Response:
    successful = [_named(item) for item in tokens.values()]
    status = "partial" if failed else "success"
    document = {"status": status, "message": text, "successful": successful, "failed": failed}
    return json_answer(document)


def _failed(problem: Problem) -> Failed:
    return Failed(STATUS.get(problem.code, 400), problem.text)
