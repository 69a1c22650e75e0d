"""The files of the page: read once, served by their exact names. Floor 4.

They lie beside this module (the way in) and in `screen/` (the screen): whatever has one of the
kinds below. A file's address never changes, so its content is asked for again each time and
answered 304 while it is the same.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
#: Own files alone, no frames, no forms; connections to the gateway, which has a port of its own.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'{}; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: What a policy can name: not an IPv6 address, which its grammar has no place for, and not the port
#: 0 of a gateway that will take any and has none yet.
_SOURCE: Final = re.compile(r"(wss?://[A-Za-z0-9.-]+(?::[1-9]\d*)?)(?:/.*)?")
_ANY_SOCKET: Final = " ws: wss:"
HEADERS: Final = {
    "content-security-policy": _POLICY.format(""),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_HERE: Final = Path(__file__).parent
SCREEN: Final = _HERE.parent / "screen" / "static"
_ENTRANCE: Final = ("enter.html", "enter.js")
_NO_SCREEN: Final = b"<!doctype html><title>No screen</title><p>This build has no screen.</p>"


class _File(NamedTuple):
    content: bytes
    kind: str
    tag: str


class Page:
    """The files below a folder, at any depth, and those of the way in."""

    def __init__(self, screen: Path = SCREEN) -> None:
        found = {path.relative_to(screen).as_posix(): path for path in sorted(screen.rglob("*"))}
        screens = {name: path for name, path in found.items() if path.suffix in _KINDS}
        self.names = tuple(screens)
        own = {name: _HERE / name for name in _ENTRANCE}
        self._files = {name: _read(path) for name, path in {**screens, **own}.items()}
        self._files.setdefault("index.html", _file(_NO_SCREEN, ".html"))

    def answer(
        self, name: str, request: Request | None = None, gateway: str | None = None
    ) -> Response:
        """Return a file's answer; KeyError for one that is not there.

        gateway: the address (ws:// or wss://) that the page may connect to, besides ours.
        """
        file = self._files[name]
        # The page at / is one of two, by the session: no copy of either is kept.
        caching = "no-store" if name.endswith(".html") else "no-cache"
        headers = {**HEADERS, "cache-control": caching, "etag": file.tag}
        if gateway is not None:
            headers["content-security-policy"] = policy(gateway)
        if request is not None and request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.kind)


def policy(gateway: str) -> str:
    """Return the policy of a page that connects to the gateway at that address."""
    source = _SOURCE.fullmatch(gateway)
    return _POLICY.format(_ANY_SOCKET if source is None else f" {source[1]}")


def _read(path: Path) -> _File:
    return _file(path.read_bytes(), path.suffix)


def _file(content: bytes, suffix: str) -> _File:
    return _File(content, _KINDS[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
