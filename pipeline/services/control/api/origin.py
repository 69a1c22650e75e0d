"""Whose page a browser's request comes from: Host, Origin and Sec-Fetch-Site. Floor 4; pure.

A page of another site can make a browser send requests here, with cookies if it is of this host:
then Origin names it. By a name of its own that it lets point here (DNS rebinding) it could even
read the answers: then Host has that name. Addresses are no names, and cannot be made to point here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

_SCHEMES: Final = ("http://", "https://")
#: What browsers say of requests of a page of ours, and of what was typed or clicked outside.
_OWN: Final = frozenset({"same-origin", "none"})
_LENGTH_MAX: Final = 300


class Origins:
    """The names that this server goes by: loopback's, addresses, and those given."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names = {"localhost", *(host.lower() for host in hosts)}

    def is_host(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        if not host or len(host) > _LENGTH_MAX:
            return False
        name = hostname(host)
        return name in self._names or _is_address(name)

    def is_own(self, host: str, origin: str | None, site: str | None) -> bool:
        """Whether a request is of a page of this server, or was begun by a person.

        host, origin, site: its headers `Host`, `Origin` and `Sec-Fetch-Site`.
        """
        if site is not None and site not in _OWN:
            return False
        return self.is_host(host) and (origin is None or _is_of(origin, host))


def hostname(host: str) -> str:
    """Return a `Host` header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def _is_of(origin: str, host: str) -> bool:
    return any(origin.lower() == scheme + host.lower() for scheme in _SCHEMES)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
