"""`/api/v1`: quotes, depth and the list of symbols, for who has an API key. Floor 4.

The key is in the body, and says whose connections the prices come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from pipeline.core.enums import Mode
from pipeline.instruments.catalogue import Catalogue
from pipeline.services.control.api.openalgo import listing
from pipeline.services.control.api.openalgo.bodies import (
    ExpiryBody,
    HistoryBody,
    InstrumentBody,
    InstrumentsBody,
    Item,
    KeyBody,
    ListBody,
    SearchBody,
)
from pipeline.services.control.api.openalgo.documents import (
    Tick,
    depth_document,
    has_ticked,
    plain,
    quote_document,
)
from pipeline.services.control.api.openalgo.download import Downloads
from pipeline.services.control.api.openalgo.keyed import Doorkeeper
from pipeline.services.control.api.openalgo.prices import Found, Prices
from pipeline.services.control.api.openalgo.replies import Failed, failures, shown, success
from pipeline.services.control.api.openalgo.schemas import V1
from pipeline.services.keys import Principal

WRONG_KEY: Final = "Invalid openalgo apikey"
_NO_HISTORY: Final = "There is no history: this instance has no recorder. Live prices are served"
#: What bars can be built of; the broker's own intervals.
INTERVALS: Final = {
    "months": [],
    "weeks": [],
    "days": ["D"],
    "hours": ["1h"],
    "minutes": ["1m", "3m", "5m", "10m", "15m", "30m"],
    "seconds": [],
}


class V1Paths:
    """One method per path. `broker`: OpenAlgo's name of the broker of an account."""

    def __init__(
        self, doorkeeper: Doorkeeper, prices: Prices, catalogue: Callable[[], Catalogue],
        broker: Callable[[str], str],
    ) -> None:  # fmt: skip
        self._doorkeeper = doorkeeper
        self._prices = prices
        self._catalogue = catalogue
        self._broker = broker
        self._downloads = Downloads()

    def router(self) -> APIRouter:
        """Return the paths."""
        router = APIRouter(prefix="/api/v1", tags=["openalgo"])
        paths = (
            self.ping, self.quotes, self.multiquotes, self.depth, self.symbol, self.search,
            self.expiry, self.instruments, self.intervals, self.history,
        )  # fmt: skip
        for path in paths:
            name = path.__name__
            responses = {**V1[name], **failures(400, 403, 404, 409, 429, 503)}
            router.add_api_route(f"/{name}", path, methods=["POST"], responses=responses)
        responses = {**V1["instruments"], **failures(400, 403, 404, 429, 503)}
        router.add_api_route("/instruments", self.instruments_by_query, responses=responses)
        return router

    # ---- prices -----------------------------------------------------------------------------

    async def quotes(self, body: InstrumentBody) -> Response:
        """The newest price, book and volume of an instrument."""
        tick = await self._one(await self._admit(body), body)
        return success(data=quote_document(tick))

    async def multiquotes(self, body: InstrumentsBody) -> Response:
        """The same of several; each answers for itself."""
        principal = await self._admit(body)
        catalogue = await self._load()
        tokens = await asyncio.to_thread(_tokens, catalogue, body.symbols)
        known = list(dict.fromkeys(token for token in tokens if token is not None))
        found = await self._read(principal, known)
        return await asyncio.to_thread(_results, body.symbols, tokens, known, found)

    async def depth(self, body: InstrumentBody) -> Response:
        """The five best levels of both sides, and the day's figures."""
        tick = await self._one(await self._admit(body), body)
        if tick["mode"] < Mode.FULL:
            raise Failed(404, f"No depth of {_name(body)} has come yet; ask again")
        return success(data=depth_document(tick))

    async def history(self, body: HistoryBody) -> Response:
        """Bars of the past: not here, until there is a recorder."""
        await self._admit(body)
        raise Failed(404, _NO_HISTORY)

    # ---- symbols ----------------------------------------------------------------------------

    async def symbol(self, body: InstrumentBody) -> Response:
        """An instrument's row in the list of symbols."""
        await self._admit(body)
        catalogue = await self._load()
        instrument = listing.find(catalogue, body.exchange, body.symbol)
        if instrument is None:
            raise _unknown(body)
        return success(data=listing.row_document(catalogue, instrument))

    async def search(self, body: SearchBody) -> Response:
        """The rows in whose names every word occurs."""
        await self._admit(body)
        catalogue, exchange = await self._load(), body.exchange or ""
        rows = await asyncio.to_thread(listing.search, catalogue, body.query, exchange)
        text = f"Found {len(rows)} matching symbols" if rows else "No matching symbols found"
        return success(message=text, data=rows)

    async def expiry(self, body: ExpiryBody) -> Response:
        """The expiries of an underlying's futures or options."""
        await self._admit(body)
        catalogue, kind = await self._load(), body.instrumenttype
        days = await asyncio.to_thread(
            listing.expiries, catalogue, body.exchange, body.symbol, kind
        )
        if not days:
            raise Failed(404, f"No {kind} of {_name(body)} are listed")
        symbol = f"{shown(body.symbol)} {kind} in {body.exchange}"
        return success(message=f"Found {len(days)} expiry dates for {symbol}", data=days)

    async def instruments(self, body: ListBody) -> Response:
        """All rows, of one exchange if it is given."""
        await self._admit(body)
        return self._downloads.answer(await self._load(), body.exchange or "", body.format)

    async def instruments_by_query(self, body: Annotated[ListBody, Query()]) -> Response:
        """The same, as OpenAlgo's client asks for it: with the key in the address."""
        return await self.instruments(body)

    # ---- the rest ---------------------------------------------------------------------------

    async def intervals(self, body: KeyBody) -> Response:
        """The lengths of bars."""
        await self._admit(body)
        return success(data=INTERVALS)

    async def ping(self, body: KeyBody) -> Response:
        """Whether the key is good: what connection tests ask."""
        principal = await self._admit(body)
        return success(data={"message": "pong", "broker": self._broker(principal.account)})

    # ---- inside -----------------------------------------------------------------------------

    async def _admit(self, body: KeyBody) -> Principal:
        principal = await self._doorkeeper.admit(body.apikey)
        if principal is None:
            raise Failed(403, WRONG_KEY)
        return principal

    async def _load(self) -> Catalogue:
        return await asyncio.to_thread(self._catalogue)

    async def _read(self, principal: Principal, tokens: Sequence[int]) -> Found:
        assert principal.owner is not None, "the doorkeeper lets nobody else in"
        return await self._prices.read(principal.owner, tokens)

    async def _one(self, principal: Principal, body: InstrumentBody) -> Any:
        token = _token(await self._load(), body)
        if token is None:
            raise _unknown(body)
        found = await self._read(principal, [token])
        if not has_ticked(found.ticks[0]):
            raise _no_tick(body, found, token)
        return found.ticks[0]


def _token(catalogue: Catalogue, item: Item | InstrumentBody) -> int | None:
    instrument = listing.find(catalogue, item.exchange, item.symbol)
    return None if instrument is None else instrument.instrument_token


def _tokens(catalogue: Catalogue, items: Sequence[Item]) -> list[int | None]:
    return [_token(catalogue, item) for item in items]


def _name(item: Item | InstrumentBody) -> str:
    return f"{item.exchange}:{shown(item.symbol)}"


def _unknown(item: Item | InstrumentBody) -> Failed:
    return Failed(404, f"{_name(item)} is not in the list of symbols")


def _no_tick(item: Item | InstrumentBody, found: Found, token: int) -> Failed:
    if token in found.refused:
        return Failed(409, f"{_name(item)} is not streamed, and cannot be: {found.refused[token]}")
    return Failed(404, f"No tick of {_name(item)} has come yet; ask again")


def _results(
    items: Sequence[Item], tokens: Sequence[int | None], known: Sequence[int], found: Found
) -> Response:
    """Return what multiquotes says; `known` are the tokens of the ticks found. For any thread."""
    ticks = dict(zip(known, plain(found.ticks), strict=True))
    pairs = zip(items, tokens, strict=True)
    return success(results=[_result(item, token, ticks, found) for item, token in pairs])


def _result(
    item: Item, token: int | None, ticks: Mapping[int, Tick], found: Found
) -> dict[str, Any]:
    """Return what multiquotes says about one: `data` is empty where there is an `error`."""
    names = {"symbol": item.symbol, "exchange": item.exchange}
    if token is None:
        return {**names, "data": {}, "error": _unknown(item).text}
    tick = ticks[token]
    if not has_ticked(tick):
        return {**names, "data": {}, "error": _no_tick(item, found, token).text}
    return {**names, "data": quote_document(tick)}
