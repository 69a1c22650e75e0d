"""Names to addresses under a deadline. Floor 3.

The C library's resolver cannot be interrupted, so it runs in a daemon thread. A lookup that hangs
is kept, and asked for again, rather than joined by another one at every attempt.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any, Final, NamedTuple

from pipeline.feed.deadline import Deadline, DeadlinePassed


class Address(NamedTuple):
    """One way to connect."""

    family: socket.AddressFamily
    sockaddr: tuple[Any, ...]


class ResolveFailed(Exception):
    """No address; the text says why."""


class _Lookup(threading.Thread):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="resolver", daemon=True)
        self.key: Final = (host, port)
        self.addresses: list[Address] = []
        self.error = ""

    def run(self) -> None:
        try:
            found = socket.getaddrinfo(*self.key, type=socket.SOCK_STREAM)
        except OSError as error:
            self.error = error.strerror or "the name cannot be resolved"
        else:
            self.addresses = [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


class Resolver:
    """Resolve one name at a time, at most one lookup under way."""

    def __init__(self) -> None:
        self._lookup: _Lookup | None = None

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Return at least one address. Raises ResolveFailed, Cancelled."""
        if _is_address(host):
            return _numeric(host, port)
        lookup = self._start(host, port)
        try:
            while lookup.is_alive():
                lookup.join(deadline.slice_s())
        except DeadlinePassed:
            raise ResolveFailed(f"no answer within {deadline.duration_s:.0f} s") from None
        self._lookup = None
        if not lookup.addresses:
            raise ResolveFailed(lookup.error or "the name has no address")
        return lookup.addresses

    def _start(self, host: str, port: int) -> _Lookup:
        if self._lookup is None or self._lookup.key != (host, port):
            self._lookup = _Lookup(host, port)
            self._lookup.start()
        return self._lookup


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _numeric(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]
