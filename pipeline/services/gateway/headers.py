"""Which browsers' pages may connect, and under which names this host is asked for. Floor 4; pure.

A browser says in `Origin` which page opens a connection, and pages of strangers can reach loopback;
programs send none and are let in by their key alone. `Host` must be an address or a name that is
ours, so that a stranger's name made to point here (DNS rebinding) does not pass for ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

_LOCAL_NAMES: Final = frozenset({"localhost"})


def page_origins(host: str, port: int) -> frozenset[str]:
    """Return the origins of pages served at an address of ours, by each name that it may have."""
    hosts = {f"[{host}]" if ":" in host else host}
    if host == "localhost" or _is_loopback(host):
        hosts |= {"localhost", "127.0.0.1", "[::1]"}
    return frozenset(f"http://{name}:{port}" for name in hosts)


def refuse_headers(
    *, origin: str | None, host: str | None, origins: Iterable[str], names: Iterable[str]
) -> str | None:
    """Return why a request is refused by its headers; None if it is not.

    origins: of the pages that may connect, `scheme://host[:port]`. names: of this host, besides
    localhost and addresses, as a proxy in front of it hands them on.
    """
    if host is None or not _is_ours(host, names):
        return "the Host header names none of this gateway's names ([gateway] hosts)"
    if origin is not None and origin.lower() not in {each.lower() for each in origins}:
        return "the Origin header names no page that may connect ([gateway] origins)"
    return None


def _is_ours(host: str, names: Iterable[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in _LOCAL_NAMES or name in {each.lower() for each in names}:
        return True
    return _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
