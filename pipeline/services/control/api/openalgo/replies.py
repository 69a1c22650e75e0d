"""OpenAlgo's answers: `status` says how it went, whatever the code. Floor 4."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from pipeline.services.control.api.answers import json_answer
from pipeline.services.control.api.guard import KEYED, Pass

_SHOWN: Final = 64
_PREFIXES: Final = (KEYED, "/api/websocket/")
_ERROR: Final = {
    "type": "object",
    "required": ["status", "message"],
    "properties": {"status": {"const": "error"}, "message": {"type": "string"}},
}
_DESCRIPTIONS: Final = {
    400: "A request that makes no sense", 401: "No session", 403: "The API key is wrong",
    404: "There is no such thing", 409: "There is no room for it",
    429: "Too many requests a second",
    503: "Not now: something that it needs is starting, or is not there",
}  # fmt: skip


class Failed(Exception):
    """A request that is not done: a status code, and why not. The text is ours."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def success(**fields: Any) -> Response:
    """Return what was asked for."""
    return json_answer({"status": "success", **fields}, headers={"Cache-Control": "no-store"})


def failure(status: int, text: str) -> Response:
    """Return why not. `text` is ours: nothing of a key, and nobody's exception."""
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return json_answer({"status": "error", "message": text}, status, headers)


def is_ours(path: str) -> bool:
    """Whether what goes wrong at a path is told in OpenAlgo's shape."""
    return path.startswith(_PREFIXES)


def failures(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of these status codes."""
    content = {"application/json": {"schema": _ERROR}}
    return {code: {"description": _DESCRIPTIONS[code], "content": content} for code in codes}


def who_asks(request: Request) -> Pass:
    """Return whom the guard has let through."""
    who = request.scope["state"]["who"]
    assert isinstance(who, Pass)
    return who


def shown(text: str) -> str:
    """Return what a client wrote as it may stand in an answer."""
    return ascii(text[:_SHOWN])[1:-1]
