"""What the screen asks for: its figures, once or again and again, and the list of names. Floor 4.

The page's files are served where sessions begin; these paths need the token or a session, as the
guard of all paths sees to.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.core.clock import real_ns
from pipeline.core.control import Ask
from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.services.control.api.answers import error_responses
from pipeline.services.control.api.guard import Pass
from pipeline.services.control.front import Front
from pipeline.services.control.screen.instruments import Placed, instruments_document, placed
from pipeline.services.control.screen.screen import Screen
from pipeline.services.control.screen.stream import PAGES_MAX, StateStream

_ENCODE: Final = msgspec.json.Encoder().encode


class ScreenPaths:
    """One method per path."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._screen = Screen(front)

    def router(self) -> APIRouter:
        """Return the paths."""
        key = Depends(HTTPBearer(auto_error=False))  # for the document: the guard has looked
        router = APIRouter(
            tags=["screen"], dependencies=[key], responses=error_responses(401, 422, 503)
        )
        router.add_api_route("/screen/state", self.state)
        router.add_api_route("/screen/events", self.events, include_in_schema=False)
        router.add_api_route("/screen/instruments", self.instruments)
        return router

    async def state(self, request: Request, after: int = Query(0, ge=0, le=2**53)) -> Response:
        """What the screen shows, once; `happenings` are those after that number."""
        return _json(_ENCODE(await self._screen.document(after, self._part_of(request))))

    async def events(self, request: Request) -> Response:
        """The same again and again: server-sent events."""
        if self._screen.pages >= PAGES_MAX:
            raise HTTPException(503, f"{PAGES_MAX} pages look already: close one")
        who: Pass = request.scope["state"]["who"]
        return StateStream(self._screen, self._part_of(request), lambda: self._is_good(who))

    async def instruments(self, request: Request) -> Response:
        """What the pool streams for who asks: token, exchange, symbol, connection, account."""
        rows = placed(self._front.answer(Ask(about="distribution")).result)
        own = self._own_accounts(request.scope["state"]["who"])
        rows = [row for row in rows if row.account in own]
        return _json(await asyncio.to_thread(self._listed, rows))

    def _part_of(self, request: Request) -> str | None:
        who: Pass = request.scope["state"]["who"]
        return self._front.part_of(who.session)

    def _own_accounts(self, who: Pass) -> set[str]:
        """Return the accounts whose prices a session is shown: those of its owner; of the token of
        the instance, all."""
        accounts = self._front.config.accounts
        if who.session is None:
            return {account.name for account in accounts}
        name = who.session.account or accounts[0].name
        owner = next(account.owner for account in accounts if account.name == name)
        return {account.name for account in accounts if account.owner == owner}

    def _listed(self, rows: list[Placed]) -> bytes:
        try:
            catalogue = self._front.catalogue()
        except (NoInstruments, BadInstruments) as error:
            return _ENCODE(instruments_document(rows, lambda _: None, str(error)))

        def name_of(token: int) -> str | None:
            listed = catalogue.get(token)
            return None if listed is None else catalogue.openalgo_key(listed)

        return _ENCODE(instruments_document(rows, name_of, ""))

    def _is_good(self, who: Pass) -> bool:
        """Whether who came in may stay; the token of the instance is good for as long as it is."""
        if who.session is None:
            return who.bearer
        return self._front.sessions.is_open(who.session.number, real_ns())


def _json(body: bytes) -> Response:
    return Response(body, 200, {"Cache-Control": "no-store"}, media_type="application/json")
