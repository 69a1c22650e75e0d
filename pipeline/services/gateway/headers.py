"""Which browsers' pages may connect, and under which names this host is asked for. Floor 4; pure.

A browser says in `Origin` which page opens a connection, and pages of strangers can reach loopback;
programs send none, or (websocket-client, and so PyPI's openalgo) the very address that they connect
to. Either way a key decides; this keeps strangers from trying. `Host` must be an
address or a name that is ours, so that a stranger's name made to point here (DNS rebinding) does
not pass for ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

_LOCAL_NAME: Final = "localhost"
_NOT_OURS: Final = "the Host header names none of this gateway's names ([gateway] hosts)"
_NO_PAGE: Final = "the Origin header names no page that may connect ([gateway] origins)"


class BadHeader(NamedTuple):
    """The header that a request is refused for, and what the client is told."""

    which: Literal["host", "origin"]
    text: str


def page_origins(host: str, port: int) -> frozenset[str]:
    """Return the origins of pages served at an address of ours, by each name that it may have."""
    hosts = {f"[{host}]" if ":" in host else host}
    if _is_loopback(host):
        hosts |= {_LOCAL_NAME, "127.0.0.1", "[::1]"}
    return frozenset(f"http://{name}:{port}" for name in hosts)


def refuse_headers(
    *, origin: str | None, host: str | None, origins: Iterable[str], names: Iterable[str]
) -> BadHeader | None:
    """Return why a request is refused by its headers; None if it is not.

    origins: of the pages that may connect, `scheme://host[:port]`, besides this very address.
    names: of this host, besides localhost and addresses, as a client may have written them; one
    with a port is meant with that port alone.
    """
    if host is None or not _is_ours(host, names):
        return BadHeader("host", _NOT_OURS)
    if origin is None or _is_same(origin, host):
        return None
    if origin.lower() not in {each.lower() for each in origins}:
        return BadHeader("origin", _NO_PAGE)
    return None


def _is_same(origin: str, host: str) -> bool:
    scheme, separator, place = origin.lower().partition("://")
    return scheme in ("http", "https") and bool(separator) and place == host.lower()


def _is_ours(host: str, names: Iterable[str]) -> bool:
    name = _name_of(host)
    if {name, host.lower()} & {each.lower() for each in names}:
        return True
    return name == _LOCAL_NAME or _address(name) is not None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return name == _LOCAL_NAME or (address is not None and address.is_loopback)


def _name_of(host: str) -> str:
    """Return the host of `host[:port]` in lower case; "" for what is neither."""
    try:
        parts = urlsplit(f"//{host}")
        found = parts.hostname
        _ = parts.port  # ValueError for what is no port
    except ValueError:
        return ""
    return found if found and parts.netloc == host and "@" not in host else ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
