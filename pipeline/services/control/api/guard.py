"""Who may ask, how much, and how often: before a request's body is read. Floor 4.

Everything but `/health` and the OpenAPI document needs the bearer token of the instance. What
changes something counts against `[api] changes_per_s`.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.control import LINE_BYTES_MAX
from pipeline.core.secrets import Secret

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS: Final = frozenset({"/health", "/openapi.json"})
BODY_BYTES_MAX: Final = LINE_BYTES_MAX
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Allowance:
    """So many in a second on average, and so many at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(per_s, 1.0)
        self._left = self._most
        self._then_ns = 0

    def take(self, now_ns: int) -> float:
        """Return 0 if one more may go, else the seconds until it may."""
        earned = (now_ns - self._then_ns) / NS_PER_S * self._per_s
        self._left = min(self._most, self._left + earned)
        self._then_ns = now_ns
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0


class Guard:
    """Lets through to an app what may pass; until it is open, and once closed, 503 to all."""

    def __init__(self, token: Secret, changes_per_s: float) -> None:
        self._app: Asgi | None = None
        self._closed = "The control process is starting"
        self._expected = b"Bearer " + token.reveal().encode()
        self._changes = Allowance(changes_per_s)

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
        refusal, app = self._refusal(scope), self._app
        if refusal is not None:
            await answer(send, *refusal)
            return
        assert app is not None, "without one everything is refused"
        left = BODY_BYTES_MAX

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_long()
            return message

        await app(scope, bounded, send)

    def is_known(self, scope: Scope) -> bool:
        """Whether a request has the token."""
        given = _header(scope, b"authorization") or b""
        return hmac.compare_digest(given, self._expected)

    def _refusal(self, scope: Scope) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        if self._app is None:
            return 503, {"detail": self._closed}, {"Retry-After": "1"}
        known = self.is_known(scope)
        scope.setdefault("state", {})["known"] = known
        if not known and scope["path"] not in OPEN_PATHS:
            text = (
                "A bearer token is needed: it is in secrets/api-token of the instance's directory"
            )
            return 401, {"detail": text}, {"WWW-Authenticate": "Bearer"}
        length = _header(scope, b"content-length")
        if length is not None and length.isdigit() and int(length[:20]) > BODY_BYTES_MAX:
            return _too_long()
        if scope["method"] not in _SAFE:
            wait_s = self._changes.take(monotonic_ns())
            if wait_s:
                text = "Too many changes a second: see [api] changes_per_s"
                return 429, {"detail": text}, {"Retry-After": str(max(1, round(wait_s)))}
        return None


def too_long() -> Exception:
    """Return what an app makes a 413 of."""
    from starlette.exceptions import HTTPException  # large, and there by now

    return HTTPException(413, f"A body of at most {BODY_BYTES_MAX} bytes")


async def answer(
    send: Send, status: int, document: dict[str, Any], headers: dict[str, str]
) -> None:
    """Send a small JSON answer."""
    body = msgspec.json.encode(document)
    lines = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _too_long() -> tuple[int, dict[str, Any], dict[str, str]]:
    return 413, {"detail": f"A body of at most {BODY_BYTES_MAX} bytes"}, {"Connection": "close"}


def _header(scope: Scope, name: bytes) -> bytes | None:
    found: bytes | None = next((value for key, value in scope["headers"] if key == name), None)
    return found
