"""Who may connect, from where, and what wrong keys cost an address. Floor 4; pure.

Counts per address and remembers wrong keys, in tables of bounded size. Loopback and trusted proxies
are counted in the total alone: behind a proxy everybody has one address. Times are passed in,
monotonic nanoseconds.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.services.gateway.limits import Limits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MINUTE_NS: Final = 60 * NS_PER_S
_HOST_BITS_OF_ONE: Final = 64  # who has one address of IPv6 has all of its network


class Refusal(NamedTuple):
    """Why a connection is not upgraded, as HTTP says it."""

    status: int
    reason: str
    retry_after_s: int


class Penalty(NamedTuple):
    """What a wrong key costs: so long a wait for the answer, or the connection."""

    delay_ns: int
    banned: bool


@dataclass(slots=True)
class GuardCounters:
    """What was refused, by reason."""

    full: int = 0
    address_full: int = 0
    address_arriving: int = 0
    address_banned: int = 0
    wrong_keys: int = 0
    bans: int = 0


@dataclass(slots=True)
class _Present:
    connections: int = 0
    unauthenticated: int = 0


@dataclass(slots=True)
class _Sums:
    arriving: dict[str, int] = field(default_factory=dict)  # by address, their handshake under way
    connections: int = 0
    unauthenticated: int = 0  # of addresses that are counted
    of_address: dict[str, _Present] = field(default_factory=dict)


class Guard:
    """Lets connections in and out of the counts; one for all listeners of a gateway."""

    def __init__(self, limits: Limits, trusted_proxies: Sequence[str] = ()) -> None:
        self.limits = limits
        self.counters = GuardCounters()
        self._trusted = tuple(ipaddress.ip_network(text, strict=False) for text in trusted_proxies)
        self._sums = _Sums()
        self._wrong: OrderedDict[str, deque[int]] = OrderedDict()
        self._banned_until_ns: OrderedDict[str, int] = OrderedDict()

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._sums.connections

    @property
    def remembered(self) -> int:
        """How many addresses are remembered for wrong keys or a ban."""
        return len(self._wrong) + len(self._banned_until_ns)

    def arrive(self, peer: str) -> bool:
        """Count a socket whose handshake has not come; return whether it may wait for that.

        Behind a proxy nobody knows yet who it is from, and a proxy does not connect for nothing.
        """
        address = self._counted(peer)
        if address is None:
            return True
        arriving = self._sums.arriving.get(address, 0)
        if arriving >= self.limits.connections_per_address:
            self.counters.address_arriving += 1
            return False
        self._sums.arriving[address] = arriving + 1
        return True

    def arrived(self, peer: str) -> None:
        """Count it no more: its handshake came, or it is gone."""
        address = self._counted(peer)
        if address is None:
            return
        self._sums.arriving[address] -= 1
        if not self._sums.arriving[address]:
            del self._sums.arriving[address]

    def admit(self, peer: str, now_ns: int) -> Visit | Refusal:
        """Count a new connection and return its visit, or say why it may not be."""
        address = self._counted(peer)
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
        """Return whom a connection is from: what a trusted proxy says, else the peer itself.

        `forwarded_for` is the header X-Forwarded-For. Of its entries the last one that is not a
        proxy's counts: what stands before it is the client's own claim.
        """
        if forwarded_for is None or not self._is_trusted(peer):
            return peer
        for text in reversed(forwarded_for.split(",")):
            entry = text.strip()
            if _parsed(entry) is None:
                return peer
            if not self._is_trusted(entry):
                return entry
        return peer

    def is_banned(self, address: str, now_ns: int) -> bool:
        """Return whether an address is banned; forgets a ban that is over."""
        until_ns = self._banned_until_ns.get(address, 0)
        if until_ns and until_ns <= now_ns:
            del self._banned_until_ns[address]
            return False
        return until_ns > 0

    def wrong_key(self, address: str, now_ns: int) -> Penalty:
        """Count a wrong key of an address; return what it costs."""
        limits = self.limits
        times = self._wrong.pop(address, None) or deque(maxlen=limits.wrong_keys_until_ban)
        times.append(now_ns)
        recent = sum(now_ns - at_ns < _MINUTE_NS for at_ns in times)
        if recent >= limits.wrong_keys_until_ban:
            self._ban(address, now_ns)
            return Penalty(0, banned=True)
        self._wrong[address] = times
        while len(self._wrong) > limits.addresses_remembered:
            self._wrong.popitem(last=False)
        slow = recent >= limits.wrong_keys_until_delay
        return Penalty(int(limits.wrong_key_delay_s * NS_PER_S) if slow else 0, banned=False)

    def _ban(self, address: str, now_ns: int) -> None:
        self.counters.bans += 1
        self._banned_until_ns.pop(address, None)
        self._banned_until_ns[address] = now_ns + int(self.limits.ban_s * NS_PER_S)
        while len(self._banned_until_ns) > self.limits.addresses_remembered:
            self._banned_until_ns.popitem(last=False)

    def _refusal(self, address: str | None, now_ns: int) -> Refusal | None:
        limits, sums = self.limits, self._sums
        if sums.connections >= limits.connections:
            self.counters.full += 1
            return Refusal(503, "too many connections", 10)
        if address is None:
            return None
        if self.is_banned(address, now_ns):
            self.counters.address_banned += 1
            left_ns = self._banned_until_ns[address] - now_ns
            return Refusal(429, "too many wrong keys from this address", 1 + left_ns // NS_PER_S)
        present = sums.of_address.get(address, _Present())
        if (
            present.connections >= limits.connections_per_address
            or present.unauthenticated >= limits.unauthenticated_per_address
        ):
            self.counters.address_full += 1
            return Refusal(429, "too many connections from this address", 10)
        if sums.unauthenticated >= limits.unauthenticated:
            self.counters.full += 1
            return Refusal(503, "too many connections without a key", 10)
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

    def _counted(self, peer: str) -> str | None:
        """Return what an address is counted under; None for what is not counted."""
        address = _parsed(peer)
        if address is None:
            return peer
        if address.is_loopback or self._is_trusted(peer):
            return None
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address, _HOST_BITS_OF_ONE), strict=False))

    def _is_trusted(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


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


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
