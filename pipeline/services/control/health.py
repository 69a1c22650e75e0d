"""The health of a pool as a JSON document: score, state, who is well, what is amiss. Floor 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline.core.clock import NS_PER_S
from pipeline.services.control.alerts import Alerts
from pipeline.services.control.pool import Pool
from pipeline.services.control.watch import Watch, totals

#: States in which a load balancer or a service manager had better not rely on us.
BAD: Final = frozenset({"critical"})


class Health:
    """Makes the document of the owners' pools; `uptime_ns`: how long their instance is there."""

    def __init__(
        self, pools: Mapping[str, Pool], watch: Watch, alerts: Alerts, uptime_ns: Callable[[], int]
    ) -> None:
        self._pools = dict(pools)
        self._watch = watch
        self._alerts = alerts
        self._uptime_ns = uptime_ns

    def brief(self) -> dict[str, Any]:
        """Return what anybody may know: the state, and nothing of accounts or instruments."""
        return {"status": str(self._watch.health.state)}

    def document(self, owner: str | None = None) -> dict[str, Any]:
        """Return score, state and connections. Errors count for a minute, then they are past.

        owner: of his connections alone.
        """
        pools = [pool for name, pool in self._pools.items() if owner in (None, name)]
        own = None if owner is None else {number for pool in pools for number in pool.links}
        found = self._watch.health_of(own)
        readings = [r for n, r in self._watch.readings.items() if own is None or n in own]
        return {
            "status": str(found.state),
            "score": round(found.score, 1),
            "state": str(found.state),
            "is_healthy": found.is_healthy,
            "is_degraded": found.is_degraded,
            "is_critical": found.is_critical,
            "health_percentage": round(found.percentage, 1),
            "total_connections": sum(len(pool.links) for pool in pools),
            "healthy_connections": len(found.healthy),
            "unhealthy_connections": list(found.unhealthy),
            "active_message_flows": found.active_message_flows,
            "total_instruments": sum(len(pool.ledger.desired) for pool in pools),
            "orphaned": sum(len(pool.orphans) for pool in pools),
            "unconfirmed": sum(len(reading.unconfirmed) for reading in readings),
            "total_messages": sum(totals(reading)["frames"] for reading in readings),
            "total_errors": sum(totals(reading)["errors"] for reading in readings),
            "recent_errors": sum(
                h.errors_per_min
                for n, h in self._watch.histories.items()
                if own is None or n in own
            ),
            "uptime_s": round(self._uptime_ns() / NS_PER_S, 1),
            "connections": [
                {
                    "connection_id": one.number,
                    "score": round(one.score, 1),
                    "band": str(one.band),
                    "penalties": {k: round(v, 2) for k, v in one.penalties._asdict().items()},
                }
                for one in found.connections
            ],
            "alerts": self._alerts.document(owner)["open"],
        }
