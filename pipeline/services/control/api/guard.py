"""Who may ask, how much, and how often: before a request's body is read. Floor 4.

Everything needs the bearer token of the instance, or the cookie of a session (`session`) and then,
for what changes something, its csrf token; but for `/health`, the OpenAPI document, the way in
(`entrance`), and `/api/v1`, whose key is in the body. A cookie counts only on requests of our own
page. How often who may ask is `rates`'.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.control import LINE_BYTES_MAX
from pipeline.core.secrets import Secret
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.rates import Rates, TooMany
from pipeline.services.control.api.session import (
    Session,
    Sessions,
    is_csrf_token,
    read_cookie,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS: Final = frozenset({"/health", "/openapi.json"})
#: Where a browser comes in; told to no page of another name.
ENTRANCE: Final = frozenset({"/", "/auth/session", "/auth/enter.js"})
ENTERING: Final = ("POST", "/auth/session")
#: Below it the key is in the body.
KEYED: Final = "/api/v1/"
#: What a session may ask for that is shown one owner's part alone; each answers with that.
PARTIAL: Final = ("/", "/health")
PARTIAL_BELOW: Final = ("/auth/", "/screen/", "/api/websocket/")
BODY_BYTES_MAX: Final = LINE_BYTES_MAX
#: From those who have shown nothing yet: 3,000 symbols take 170 KB.
STRANGER_BYTES_MAX: Final = 2**20
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: How an app answers a key or a ticket that is wrong.
_WRONG: Final = 403
_FORWARDED: Final = b"x-forwarded-for"
_CSRF_HEADERS: Final = (b"x-csrftoken", b"x-csrf-token")

Refusal = tuple[int, dict[str, Any], dict[str, str]]


class Pass(NamedTuple):
    """Who asks: one who has the token, one who has a session (with its cookie), or a stranger."""

    bearer: bool = False
    session: Session | None = None
    cookie: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is anybody who may see what is inside."""
        return self.bearer or self.session is not None


STRANGER: Final = Pass()


class Guard:
    """Lets through to an app what may pass; until it is open, and once closed, 503 to all."""

    def __init__(
        self, token: Secret, rates: Rates, *, sessions: Sessions, origins: Origins,
        part_of: Callable[[Session], str | None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._app: Asgi | None = None
        self._closed = "The control process is starting"
        self._expected = b"Bearer " + token.reveal().encode()
        self._rates = rates
        self._sessions = sessions
        self._origins = origins
        self._part_of = part_of

    def open(self, app: Asgi) -> None:
        """Let requests in, to this app."""
        self._app = app

    def close(self, text: str) -> None:
        """Let none in any more; `text` says why."""
        self._app, self._closed = None, text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        who = self.identify(scope)
        refusal, app = self._refusal(scope, who), self._app
        if refusal is not None:
            await answer(send, *_told(scope, refusal))
            return
        assert app is not None, "without one everything is refused"
        whole = who.is_known and not self._has_part(who)
        scope.setdefault("state", {}).update(known=whole, who=who)
        most = BODY_BYTES_MAX if who.is_known else STRANGER_BYTES_MAX
        left = most

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_long(most)
            return message

        await app(scope, bounded, send if who.is_known else self._watched(scope, send))

    def _watched(self, scope: Scope, send: Send) -> Send:
        """Return what sends a stranger's answer, and counts it if his key was wrong."""
        if not _tries_a_key(scope):
            return send

        async def watched(message: Message) -> None:
            if message.get("status") == _WRONG:
                self._rates.wrong_key(self._address(scope), monotonic_ns())
            await send(message)

        return watched

    def _address(self, scope: Scope) -> str | None:
        """Return under which address a request counts, as the gateway would count it."""
        client = scope.get("client") or ("",)
        # Some proxies add a header of their own instead of another entry, below the client's.
        found = [value.decode("latin-1") for key, value in scope["headers"] if key == _FORWARDED]
        return self._rates.address(client[0], ",".join(found) or None)

    def identify(self, scope: Scope) -> Pass:
        """Return who asks; a cookie on a request of another's page is not looked at."""
        given = _header(scope, b"authorization") or b""
        if hmac.compare_digest(given, self._expected):
            return Pass(bearer=True)
        cookies = _text(scope, b"cookie")
        value = read_cookie(cookies, self._sessions.cookie) if cookies else None
        if value is None or not self._is_own(scope):
            return STRANGER
        session = self._sessions.find(value, real_ns())
        return STRANGER if session is None else Pass(session=session, cookie=value)

    def _is_own(self, scope: Scope) -> bool:
        host, origin = _text(scope, b"host") or "", _text(scope, b"origin")
        return self._origins.is_own(host, origin, _text(scope, b"sec-fetch-site"))

    def _refusal(self, scope: Scope, who: Pass) -> Refusal | None:
        if self._app is None:
            return 503, {"detail": self._closed}, {"Retry-After": "1"}
        refusal = None if who.bearer else self._why_not(scope, who)
        return refusal or self._too_much(scope, who)

    def _why_not(self, scope: Scope, who: Pass) -> Refusal | None:
        """Return why somebody without the token may not ask this."""
        path, changes = scope["path"], scope["method"] not in _SAFE
        if path in OPEN_PATHS or path.startswith(KEYED):
            return None
        host = _text(scope, b"host") or ""
        if path in ENTRANCE and not changes:
            return None if self._origins.is_host(host) else _wrong_host(host)
        if (scope["method"], path) == ENTERING and self._is_own(scope):
            return None  # there is no session yet that a csrf token could be of
        if who.session is None:
            return _nobody()
        if self._has_part(who) and not (path in PARTIAL or path.startswith(PARTIAL_BELOW)):
            return _not_his()
        if changes and not _has_csrf_token(scope, who):
            text = "GET /auth/csrf-token has the token that is missing in the header X-CSRFToken"
            return 403, {"detail": text}, {}
        return None

    def _has_part(self, who: Pass) -> bool:
        """Whether it is a session that is shown one owner's part alone."""
        return who.session is not None and self._part_of(who.session) is not None

    def _too_much(self, scope: Scope, who: Pass) -> Refusal | None:
        most = BODY_BYTES_MAX if who.is_known else STRANGER_BYTES_MAX
        length = _header(scope, b"content-length")
        if length is not None and length.isdigit() and int(length[:20]) > most:
            return _too_long(most)
        try:
            self._count(scope, who, monotonic_ns())
        except TooMany as refused:
            headers = {"Retry-After": str(max(1, round(refused.wait_s)))}
            return 429, {"detail": str(refused)}, headers
        return None

    def _count(self, scope: Scope, who: Pass, now_ns: int) -> None:
        """Count a request against what its asker may; raises TooMany."""
        if scope["path"].startswith(KEYED):
            self._rates.question(self._address(scope), now_ns, known=who.is_known)
        elif scope["method"] in _SAFE:
            return
        elif who.is_known:
            self._rates.change(now_ns)
        else:
            self._rates.entry(self._address(scope), now_ns)


def _tries_a_key(scope: Scope) -> bool:
    """Whether a request has a key or a ticket in its body."""
    return scope["path"].startswith(KEYED) or (scope["method"], scope["path"]) == ENTERING


def _has_csrf_token(scope: Scope, who: Pass) -> bool:
    given = next((text for name in _CSRF_HEADERS if (text := _text(scope, name))), "")
    return is_csrf_token(who.cookie, given)


def _told(scope: Scope, refusal: Refusal) -> Refusal:
    """Return a refusal as those expect it who ask there: OpenAlgo's clients look at `status`."""
    status, document, headers = refusal
    if not scope["path"].startswith("/api/"):
        return refusal
    return status, {"status": "error", "message": document["detail"], **document}, headers


def _nobody() -> Refusal:
    text = (
        "A bearer token is needed: it is in secrets/api-token of the instance's directory; a "
        "browser comes in by the address that `python -m pipeline screen` prints"
    )
    return 401, {"detail": text}, {"WWW-Authenticate": "Bearer"}


def _not_his() -> Refusal:
    text = (
        "This session is shown one owner's part of the instance: what is all owners' takes the "
        "bearer token, or an address that `python -m pipeline screen` prints without --account"
    )
    return 403, {"detail": text}, {}


def _wrong_host(host: str) -> Refusal:
    text = f"{host[:60]!r} is no name of this server: [api] hosts lists those beside localhost"
    return 403, {"detail": text}, {}


def too_long(most: int) -> Exception:
    """Return what an app makes a 413 of."""
    from starlette.exceptions import HTTPException  # large, and there by now

    return HTTPException(413, f"A body of at most {most} bytes")


async def answer(
    send: Send, status: int, document: dict[str, Any], headers: dict[str, str]
) -> None:
    """Send a small JSON answer."""
    body = msgspec.json.encode(document)
    lines = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _too_long(most: int) -> Refusal:
    return 413, {"detail": f"A body of at most {most} bytes"}, {"Connection": "close"}


def _header(scope: Scope, name: bytes) -> bytes | None:
    found: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return found


def _text(scope: Scope, name: bytes) -> str | None:
    found = _header(scope, name)
    return None if found is None else found.decode("latin-1")
