"""How a browser comes in: the page at `/`, the ticket behind its `#`, the session. Floor 4.

Without a session `/` is a small page whose script hands the ticket in and loads `/` again; with
one it is the screen. No page of ours loads or sends anything elsewhere, or runs in a frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.security import APIKeyCookie
from pydantic import Field, StrictStr
from starlette.responses import Response

from pipeline.core.clock import NS_PER_S, real_ns
from pipeline.services.control.api.answers import error_responses, json_answer
from pipeline.services.control.api.guard import Pass
from pipeline.services.control.api.models import Body
from pipeline.services.control.api.page import Page
from pipeline.services.control.api.schemas import GOOD
from pipeline.services.control.api.session import Session, Sessions, csrf_token, set_cookie

_NO_TICKET: Final = (
    "This address was used before, or is too old: `python -m pipeline screen` prints another one"
)
_NO_SESSION: Final = "There is no session: open the address that `python -m pipeline screen` prints"


Left = Callable[[Session], Awaitable[None]]
#: The gateway's address for who calls us by that `Host`, by TLS or not; None without a gateway.
GatewayOf = Callable[[str, bool], str | None]


class TicketBody(Body):
    """What stood behind the `#` of the printed address."""

    ticket: Annotated[StrictStr, Field(min_length=1, max_length=200)]


class Entrance:
    """The paths of sessions, and the page. `left` is told whose session has been ended;
    `gateway_of` says where the page may connect to."""

    def __init__(self, sessions: Sessions, page: Page, left: Left, gateway_of: GatewayOf) -> None:
        self._sessions = sessions
        self._page = page
        self._left = left
        self._gateway_of = gateway_of

    def router(self) -> APIRouter:
        """Return the paths."""
        cookie = APIKeyCookie(name=self._sessions.cookie, auto_error=False)  # for the document
        router = APIRouter(tags=["session"], dependencies=[Depends(cookie)])
        add = router.add_api_route
        add("/", self.page, include_in_schema=False)
        add("/auth/enter.js", self.script, include_in_schema=False)
        for name in self._page.names:
            add(f"/screen/{name}", self.file, include_in_schema=False)
        errors = error_responses(401, 403, 422, 429, 503)
        for path, method, handler in (
            ("/auth/session", "POST", self.enter),
            ("/auth/session", "GET", self.session),
            ("/auth/session", "DELETE", self.leave),
            ("/auth/csrf-token", "GET", self.csrf_token),
        ):
            responses = {**GOOD[handler.__name__], **errors}
            add(path, handler, methods=[method], responses=responses)
        return router

    # ---- the page ---------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """The screen; for who has no session yet, the page that begins one."""
        if not _who(request).is_known:
            return self._page.answer("enter.html")
        gateway = self._gateway_of(request.headers.get("host", ""), is_secure(request))
        return self._page.answer("index.html", gateway=gateway)

    async def script(self) -> Response:
        """What the page without a session runs."""
        return self._page.answer("enter.js")

    async def file(self, request: Request) -> Response:
        """A file of the screen."""
        return self._page.answer(request.url.path.removeprefix("/screen/"), request)

    # ---- the session ------------------------------------------------------------------------

    async def enter(self, body: TicketBody, request: Request) -> Response:
        """Begin a session with the ticket of a printed address, which is good once."""
        entered = self._sessions.enter(body.ticket, real_ns())
        if entered is None:
            return json_answer({"detail": _NO_TICKET, "code": "ticket"}, 403)
        answer = json_answer(_document(entered.session))
        self._set_cookie(answer, request, entered.value)
        return answer

    async def session(self, request: Request) -> Response:
        """Whether there is a session, and until when."""
        session = _who(request).session
        return _nobody() if session is None else json_answer(_document(session))

    async def leave(self, request: Request) -> Response:
        """End the session; the key of its page ends with it."""
        session = _who(request).session
        if session is None:
            return _nobody()
        self._sessions.end(session)
        await self._left(session)
        answer = json_answer({"status": "success"})
        self._set_cookie(answer, request, "")
        return answer

    async def csrf_token(self, request: Request) -> Response:
        """What goes into the header `X-CSRFToken` of all that changes something."""
        who = _who(request)
        if who.session is None:
            return _nobody()
        return json_answer({"csrf_token": csrf_token(who.cookie)})

    def _set_cookie(self, answer: Response, request: Request, value: str) -> None:
        cookie = set_cookie(self._sessions.cookie, value, secure=is_secure(request))
        answer.headers["set-cookie"] = cookie


def is_secure(request: Request) -> bool:
    """Whether the browser came by TLS, which a proxy in front of us tells.

    Anybody can say so, and makes nothing but its own answers different.
    """
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (said or request.url.scheme) == "https"


def _who(request: Request) -> Pass:
    who = request.scope["state"]["who"]
    assert isinstance(who, Pass)
    return who


def _document(session: Session) -> dict[str, object]:
    left_s = max(0, session.ends_ts_ns - real_ns()) // NS_PER_S
    return {"status": "success", "ends_in_s": left_s, "account": session.account or None}


def _nobody() -> Response:
    return json_answer({"status": "error", "message": _NO_SESSION, "detail": _NO_SESSION}, 401)
