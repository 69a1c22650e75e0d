"""How well a connection and a pool are: a score of 0 to 100, bands, a summary. Floor 2; pure.

A score is 100 less penalties, each of which is documented by its constants below; a connection
without a socket scores 0. A quiet market is well: liveness goes by any frame, heartbeats too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_MS, NS_PER_S

SCORE_MAX: Final = 100.0
HEALTHY_MIN: Final = 80.0
DEGRADED_MIN: Final = 50.0

#: Age of the last frame: nothing up to the first, then linear up to the second.
LIVENESS_AGE_S: Final = (2.5, 10.0)
LIVENESS_MAX: Final = 50.0
#: Of the last 15 minutes, each.
RECONNECT_EACH: Final = 5.0
RECONNECT_MAX: Final = 20.0
RECONNECT_WINDOW_NS: Final = 15 * 60 * NS_PER_S
#: Per error a minute.
ERROR_EACH: Final = 1.0
ERROR_MAX: Final = 15.0
#: Fill of the frame ring, 95th percentile: linear between the two.
RING_FILL: Final = (0.5, 1.0)
RING_FILL_MAX: Final = 15.0
#: Age of ticks, 95th percentile, as a multiple of the pool's median: linear between the two.
TICK_AGE_RATIO: Final = (1.0, 2.0)
TICK_AGE_FLOOR_NS: Final = NS_PER_MS  # ages below it do not differ
TICK_AGE_MAX: Final = 10.0
#: Share of the tokens on the wire that no packet has come for; linear up to this.
UNCONFIRMED_SHARE: Final = 0.10
UNCONFIRMED_MAX: Final = 10.0

#: A connection with a message in this time has an active flow.
FLOW_AGE_NS: Final = 60 * NS_PER_S


class Band(StrEnum):
    """What a score means."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class PoolState(StrEnum):
    """What a pool is, taken together."""

    HEALTHY = "healthy"  # nothing is wrong; also a pool without connections
    WARNING = "warning"  # every connection is well, but there were errors lately
    DEGRADED = "degraded"  # some connections are not well
    CRITICAL = "critical"  # none is


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What a connection's score is made from, as its status pages have it.

    `reconnects` are those of the last 15 minutes, `errors_per_min` those of the last minute.
    `ring_fill_p95` and `unconfirmed_share` are between 0 and 1; ages of 0 = not known.
    """

    number: int
    connected: bool
    capacity: int = 3000
    last_frame_age_ns: int = 0
    last_message_age_ns: int = 0
    reconnects: int = 0
    errors_per_min: float = 0.0
    ring_fill_p95: float = 0.0
    tick_age_p95_ns: int = 0
    unconfirmed_share: float = 0.0


class Penalties(NamedTuple):
    """What is taken from 100, by reason."""

    liveness: float = 0.0
    reconnects: float = 0.0
    errors: float = 0.0
    ring_fill: float = 0.0
    tick_age: float = 0.0
    unconfirmed: float = 0.0


class ConnectionHealth(NamedTuple):
    """A connection's score, its band, and why it is no better."""

    number: int
    score: float
    band: Band
    penalties: Penalties


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolHealth:
    """A pool's score (the mean by capacity), its state, and who is well.

    `percentage` is 100 * healthy / all connections, 100 if there are none.
    """

    score: float
    state: PoolState
    percentage: float
    healthy: tuple[int, ...]
    unhealthy: tuple[int, ...]
    active_message_flows: int
    connections: tuple[ConnectionHealth, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether no connection is unwell and there were no errors lately."""
        return self.state is PoolState.HEALTHY

    @property
    def is_degraded(self) -> bool:
        """Whether some connections are unwell, but not all."""
        return self.state is PoolState.DEGRADED

    @property
    def is_critical(self) -> bool:
        """Whether no connection is well."""
        return self.state is PoolState.CRITICAL


def penalties(vitals: Vitals, *, median_tick_age_ns: float = 0) -> Penalties:
    """Return what a connection loses, beside the pool's median of `tick_age_p95_ns` (0 = none)."""
    age = max(vitals.tick_age_p95_ns, TICK_AGE_FLOOR_NS)
    median = max(median_tick_age_ns, TICK_AGE_FLOOR_NS)
    return Penalties(
        liveness=_linear(vitals.last_frame_age_ns / NS_PER_S, LIVENESS_AGE_S, LIVENESS_MAX),
        reconnects=min(vitals.reconnects * RECONNECT_EACH, RECONNECT_MAX),
        errors=min(vitals.errors_per_min * ERROR_EACH, ERROR_MAX),
        ring_fill=_linear(vitals.ring_fill_p95, RING_FILL, RING_FILL_MAX),
        tick_age=_linear(age / median, TICK_AGE_RATIO, TICK_AGE_MAX) if median_tick_age_ns else 0.0,
        unconfirmed=_linear(vitals.unconfirmed_share, (0.0, UNCONFIRMED_SHARE), UNCONFIRMED_MAX),
    )


def score(found: Penalties) -> float:
    """Return what the penalties leave of 100."""
    return max(SCORE_MAX - sum(found), 0.0)


def band(value: float) -> Band:
    """Return the band of a score."""
    if value >= HEALTHY_MIN:
        return Band.HEALTHY
    return Band.DEGRADED if value >= DEGRADED_MIN else Band.UNHEALTHY


def judge_health(vitals: Sequence[Vitals]) -> PoolHealth:
    """Return the health of all connections and of the pool they make."""
    median = _median([v.tick_age_p95_ns for v in vitals if v.connected and v.tick_age_p95_ns])
    connections = tuple(_judge(found, median) for found in vitals)
    healthy = tuple(c.number for c in connections if c.band is not Band.UNHEALTHY)
    unhealthy = tuple(c.number for c in connections if c.band is Band.UNHEALTHY)
    has_errors = any(found.errors_per_min > 0 for found in vitals)
    return PoolHealth(
        score=_pool_score(vitals, connections),
        state=_state(len(healthy), len(unhealthy), has_errors),
        percentage=100.0 * len(healthy) / len(vitals) if vitals else 100.0,
        healthy=healthy,
        unhealthy=unhealthy,
        active_message_flows=sum(
            found.connected and found.last_message_age_ns < FLOW_AGE_NS for found in vitals
        ),
        connections=connections,
    )


def _judge(vitals: Vitals, median_ns: float) -> ConnectionHealth:
    found = penalties(vitals, median_tick_age_ns=median_ns)
    value = score(found) if vitals.connected else 0.0
    return ConnectionHealth(vitals.number, value, band(value), found)


def _pool_score(vitals: Sequence[Vitals], connections: Sequence[ConnectionHealth]) -> float:
    capacity = sum(found.capacity for found in vitals)
    if capacity == 0:
        return SCORE_MAX
    weighted = zip(vitals, connections, strict=True)
    return sum(found.capacity * health.score for found, health in weighted) / capacity


def _state(healthy: int, unhealthy: int, has_errors: bool) -> PoolState:
    if unhealthy:
        return PoolState.DEGRADED if healthy else PoolState.CRITICAL
    return PoolState.WARNING if has_errors else PoolState.HEALTHY


def _median(values: Sequence[int]) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-1 - middle]) / 2


def _linear(value: float, bounds: tuple[float, float], most: float) -> float:
    """Return 0 up to the lower bound, `most` from the upper on, a straight line between."""
    low, high = bounds
    return most * min(max((value - low) / (high - low), 0.0), 1.0)
