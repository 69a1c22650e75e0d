"""Plain HTTP/1.1 as far as the exchange's REST side needs it. Floor 4; no I/O.

`websockets` reads openings only (GET, no body), so the first line decides who reads on: what asks
for one of `PLACES`, or is no GET at all, is REST and read here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

#: The first parts of paths that belong to REST; a WebSocket is opened at the root.
PLACES: Final = ("quote", "instruments", "user", "session", "connect", "sim")
METHODS: Final = (b"POST", b"PUT", b"DELETE")
HEAD_BYTES_MAX: Final = 1 << 18  # a quote of a thousand instruments has a long line
BODY_BYTES_MAX: Final = 1 << 16

_END: Final = b"\r\n\r\n"


class BadHttp(Exception):
    """What came is no HTTP request that is read here."""


class Asked(NamedTuple):
    """One request; header names in lower case, the path unquoted, form and query by name."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    form: dict[str, list[str]]

    def first(self, name: str) -> str:
        """Return the first value of that name in form or query, or nothing."""
        return (self.form.get(name) or self.query.get(name) or [""])[0]


@dataclass(frozen=True)
class Answer:
    """What is answered, `delay_s` later; with `drop` the connection ends without a word."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False

    def encode(self, *, keep: bool) -> bytes:
        """Return it as it goes on the wire."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'keep-alive' if keep else 'close'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(lines).encode() + _END + self.body


def json_answer(document: object, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an answer of JSON."""
    return Answer(status, json.dumps(document, separators=(",", ":")).encode())


def is_rest(received: bytes) -> bool | None:
    """Say whether a connection that begins so is REST; None while its first line is incomplete."""
    line, end, _ = received.partition(b"\r\n")
    if not end and len(line) < HEAD_BYTES_MAX:
        return None
    words = line.split(b" ")
    if len(words) != 3:
        return False
    place = words[1].lstrip(b"/").replace(b"?", b"/").split(b"/")[0]
    return words[0] in METHODS or place.decode("latin-1") in PLACES


def read_request(received: bytes) -> tuple[Asked, bool, bytes] | None:
    """Read one request; return it, whether the connection stays, and what follows it.

    None while it is incomplete. Raises BadHttp.
    """
    head, end, rest = received.partition(_END)
    if not end:
        if len(received) > HEAD_BYTES_MAX:
            raise BadHttp("a head beyond reason")
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = line.split(" ")
        pairs = [field.split(":", 1) for field in fields]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        size = int(headers.get("content-length", "0"))
        parts = urlsplit(target)
    except ValueError:
        raise BadHttp("not a request") from None
    if not 0 <= size <= BODY_BYTES_MAX or "transfer-encoding" in headers:
        raise BadHttp("a body of no known or of too large a size")
    if len(rest) < size:
        return None
    form = parse_qs(rest[:size].decode("latin-1"))
    asked = Asked(method, unquote(parts.path), parse_qs(parts.query), headers, form)
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return asked, keep, rest[size:]
