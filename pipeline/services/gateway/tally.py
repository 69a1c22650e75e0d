"""Who was turned away before he was a client, and which clients were put out: why. Floor 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: By its headers; by a count of everybody or of its address; for wrong keys; it never came.
Refusing = Literal["host", "origin", "full", "address", "banned", "handshake"]
#: By the socket's looks; by its session.
Cutting = Literal[
    "stalled", "backlog", "silent", "protocol", "unauthenticated", "wrong_keys", "excess", "revoked"
]


@dataclass(slots=True)
class Refusals:
    """Connections that did not become WebSockets, by reason."""

    host: int = 0
    origin: int = 0
    full: int = 0
    address: int = 0
    banned: int = 0
    handshake: int = 0

    @property
    def total(self) -> int:
        """How many there were, for whatever reason."""
        by_headers, by_counts = self.host + self.origin, self.full + self.address
        return by_headers + by_counts + self.banned + self.handshake

    def count(self, why: Refusing) -> None:
        """Count one more."""
        setattr(self, why, getattr(self, why) + 1)


@dataclass(slots=True)
class Cuts:
    """Clients that were put out, by reason."""

    stalled: int = 0
    backlog: int = 0
    silent: int = 0
    protocol: int = 0
    unauthenticated: int = 0
    wrong_keys: int = 0
    excess: int = 0
    revoked: int = 0

    def count(self, why: Cutting) -> None:
        """Count one more."""
        setattr(self, why, getattr(self, why) + 1)
