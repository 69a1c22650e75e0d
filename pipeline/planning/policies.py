"""How a pool is told to place instruments: the keys of `[placement]`. Floor 2; data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority, Want

#: Bytes of a packet on the wire with its length (Kite Connect v3 documentation, WebSocket
#: streaming, message structure); other brokers' proportions are near enough for balancing.
PACKET_BYTES: Final[Mapping[Mode, int]] = {
    Mode.NONE: 0,
    Mode.LTP: 10,
    Mode.QUOTE: 46,
    Mode.FULL: 186,
}


class Policy(StrEnum):
    """Which connection gets an instrument, among those that may."""

    FIRST_FIT = "first_fit"
    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    WEIGHTED = "weighted"
    HASH = "hash"
    LATENCY = "latency"
    MANUAL = "manual"
    AFFINITY = "affinity"
    CLASS_ROUTE = "class_route"


class Growth(StrEnum):
    """When connections are opened."""

    LAZY = "lazy"  # when nothing that is open has room
    ALL = "all"  # every one the keys allow, with the first instrument


class Spread(StrEnum):
    """How instruments are spread over accounts, before the policy chooses a connection."""

    FILL = "fill"  # one account after the other, in the order of the keys
    ROUND_ROBIN = "round_robin"  # accounts take turns
    POOLED = "pooled"  # not at all: the policy sees the connections of all accounts
    MANUAL = "manual"  # only where an account or connection is pinned
    CLASS = "class"  # by the route of the instrument's class


_GROUPED: Final = (Policy.MANUAL, Policy.AFFINITY)
_POOLED: Final = (Policy.WEIGHTED, Policy.HASH, Policy.LATENCY)
_SPREADS: Final = {
    Policy.FIRST_FIT: Spread.FILL,
    Policy.CLASS_ROUTE: Spread.CLASS,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementPolicy:
    """How instruments are placed.

    `spread` None takes the one that suits the policy. `routes` name accounts or brokers in the
    order in which a class uses them; a class without a route may use all. Connections below
    `place_min_health` are used last, or never if `unhealthy_last` is False.
    """

    policy: Policy = Policy.LEAST_LOADED
    growth: Growth = Growth.LAZY
    spread: Spread | None = None
    routes: Mapping[Priority, tuple[str, ...]] = field(default_factory=dict)
    place_min_health: float = 50.0
    unhealthy_last: bool = True
    latency_hysteresis: float = 0.20
    latency_floor_ns: int = 1_000_000  # ages below it do not differ
    expected_packets_per_s: float = 1.0  # of an instrument that was not measured
    weighted_spread_max: float = 0.10
    packet_bytes: Mapping[Mode, int] = field(default_factory=lambda: PACKET_BYTES)
    weights: tuple[float, ...] = ()  # of a key's connections, by their seat; 1 beyond

    def weight(self, seat: int) -> float:
        """Return what the connection on a seat of its key is to carry, beside the others."""
        return self.weights[seat] if seat < len(self.weights) else 1.0

    @property
    def effective_spread(self) -> Spread:
        """`spread`, or the one that suits the policy."""
        if self.policy is Policy.MANUAL:
            return Spread.MANUAL
        if self.spread is not None:
            return self.spread
        if self.policy in _POOLED:
            return Spread.POOLED
        lazy = self.growth is Growth.LAZY
        return _SPREADS.get(self.policy, Spread.ROUND_ROBIN if lazy else Spread.POOLED)

    @property
    def keeps_groups(self) -> bool:
        """Whether the members of a group go to one connection."""
        return self.policy in _GROUPED

    def load(self, want: Want, rates: Mapping[int, float]) -> float:
        """Return the bytes/s that an instrument brings: as measured, else as expected."""
        rate = rates.get(want.instrument_token, self.expected_packets_per_s)
        return rate * self.packet_bytes[want.mode]
