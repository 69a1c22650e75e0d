"""Who may connect, from where, and what wrong keys cost an address. Floor 4; pure.

Counts per address and remembers wrong keys, in tables of bounded size. Loopback and trusted proxies
are counted in the total alone: behind a proxy everybody has one address. Times are passed in,
monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.tally import Refusing
from pipeline.services.strangers import Addresses, Headcount, Penalty, WrongKeys


class Refusal(NamedTuple):
    """Why a connection is not upgraded, as HTTP says it."""

    status: int
    reason: str
    retry_after_s: int
    counted_as: Refusing


@dataclass(slots=True)
class GuardCounters:
    """What wrong keys there were, and what became of their addresses."""

    wrong_keys: int = 0
    bans: int = 0


@dataclass(slots=True)
class _Present:
    connections: int = 0
    unauthenticated: int = 0


@dataclass(slots=True)
class _Sums:
    connections: int = 0
    unauthenticated: int = 0  # of addresses that are counted
    of_address: dict[str, _Present] = field(default_factory=dict)


class Guard:
    """Lets connections in and out of the counts; one for all listeners of a gateway."""

    def __init__(self, limits: Limits, trusted_proxies: Sequence[str] = ()) -> None:
        self.limits = limits
        self.counters = GuardCounters()
        self._addresses = Addresses(trusted_proxies)
        self._arriving = Headcount(limits.connections_per_address)
        self._sums = _Sums()
        self._wrong = WrongKeys(
            until_delay=limits.wrong_keys_until_delay, delay_s=limits.wrong_key_delay_s,
            until_ban=limits.wrong_keys_until_ban, ban_s=limits.ban_s,
            remembered=limits.addresses_remembered,
        )  # fmt: skip

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._sums.connections

    @property
    def remembered(self) -> int:
        """How many addresses are remembered for wrong keys or a ban."""
        return len(self._wrong)

    def arrive(self, peer: str) -> bool:
        """Count a socket whose handshake has not come; return whether it may wait for that.

        Behind a proxy nobody knows yet who it is from, and a proxy does not connect for nothing.
        """
        return self._arriving.enter(self._addresses.counted(peer))

    def arrived(self, peer: str) -> None:
        """Count it no more: its handshake came, or it is gone."""
        self._arriving.leave(self._addresses.counted(peer))

    def admit(self, peer: str, now_ns: int) -> Visit | Refusal:
        """Count a new connection and return its visit, or say why it may not be."""
        address = self._addresses.counted(peer)
        refusal = self._refusal(address, now_ns)
        if refusal is not None:
            return refusal
        self._sums.connections += 1
        if address is not None:
            self._sums.unauthenticated += 1
            present = self._sums.of_address.setdefault(address, _Present())
            present.connections += 1
            present.unauthenticated += 1
        return Visit(self, address)

    def client_address(self, peer: str, forwarded_for: str | None) -> str:
        """Return whom a connection is from: what a trusted proxy says, else the peer itself."""
        return self._addresses.client(peer, forwarded_for)

    def is_banned(self, address: str, now_ns: int) -> bool:
        """Return whether an address is banned."""
        return self._wrong.ban_left_ns(address, now_ns) > 0

    def wrong_key(self, address: str, now_ns: int) -> Penalty:
        """Count a wrong key of an address; return what it costs."""
        penalty = self._wrong.count(address, now_ns)
        self.counters.bans += penalty.banned
        return penalty

    def _refusal(self, address: str | None, now_ns: int) -> Refusal | None:
        limits, sums = self.limits, self._sums
        if sums.connections >= limits.connections:
            return Refusal(503, "too many connections", 10, "full")
        if address is None:
            return None
        left_ns = self._wrong.ban_left_ns(address, now_ns)
        if left_ns:
            text = "too many wrong keys from this address"
            return Refusal(429, text, 1 + left_ns // NS_PER_S, "banned")
        present = sums.of_address.get(address, _Present())
        if (
            present.connections >= limits.connections_per_address
            or present.unauthenticated >= limits.unauthenticated_per_address
        ):
            return Refusal(429, "too many connections from this address", 10, "address")
        if sums.unauthenticated >= limits.unauthenticated:
            return Refusal(503, "too many connections without a key", 10, "full")
        return None

    def _now_authenticated(self, address: str) -> None:
        self._sums.unauthenticated -= 1
        self._sums.of_address[address].unauthenticated -= 1

    def _left(self, address: str | None) -> None:
        self._sums.connections -= 1
        if address is not None:
            present = self._sums.of_address[address]
            present.connections -= 1
            if not present.connections:
                del self._sums.of_address[address]


class Visit:
    """One connection in the guard's counts: what its session tells of it."""

    __slots__ = ("_address", "_authenticated", "_ended", "_guard")

    def __init__(self, guard: Guard, address: str | None) -> None:
        self._guard = guard
        self._address = address
        self._authenticated = False
        self._ended = False

    def authenticated(self) -> None:
        """Note that its key was good."""
        if not self._authenticated and not self._ended:
            self._authenticated = True
            if self._address is not None:
                self._guard._now_authenticated(self._address)

    def may_try(self, now_ns: int) -> bool:
        """Return whether its address may have a key looked at."""
        return self._address is None or not self._guard.is_banned(self._address, now_ns)

    def wrong_key(self, now_ns: int) -> Penalty:
        """Count a wrong key; return what it costs."""
        self._guard.counters.wrong_keys += 1
        if self._address is None:
            return Penalty(0, banned=False)
        return self._guard.wrong_key(self._address, now_ns)

    def end(self) -> None:
        """Leave the counts; again is nothing."""
        if not self._ended:
            self.authenticated()
            self._ended = True
            self._guard._left(self._address)
