"""What the control process can tell of its pool, kept current turn by turn. Floor 4.

Looks at the status pages a few times a second, judges health, follows alerts, and tells the
listeners of `/events` what has happened.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from pipeline.brokers.contract import Session
from pipeline.brokers.registry import load_broker
from pipeline.core.clock import NS_PER_S, monotonic_ns, real_ns
from pipeline.core.config import Config
from pipeline.core.enums import EventKind
from pipeline.planning.policies import Policy
from pipeline.services.control.alerts import Alert, Alerts
from pipeline.services.control.desk import Desk
from pipeline.services.control.events import Hub
from pipeline.services.control.facts import facts
from pipeline.services.control.health import Health
from pipeline.services.control.instrument_rates import InstrumentRates
from pipeline.services.control.occurrences import Occurrence
from pipeline.services.control.pool import Pool
from pipeline.services.control.stats import Stats
from pipeline.services.control.watch import FRESH_NS, LOOK_NS, Watch
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths

#: The health of a pool is told in the log so often while it is not well.
TELL_NS: Final = 10 * NS_PER_S
#: A connection that has just been opened is not judged until it is well, or for so long.
BIRTH_NS: Final = 5 * NS_PER_S
_LEVELS: Final = {"critical": logging.CRITICAL, "degraded": logging.WARNING}

_log = logging.getLogger(__name__)


class Documents:
    """Everything that reads of an instance's pools, by owner."""

    def __init__(self, config: Config, paths: InstancePaths, pools: Mapping[str, Pool]) -> None:
        assert config.pool is not None
        self.hub = Hub()
        self._pools = dict(pools)
        confirm_ns = round(config.pool.confirm_after_s * NS_PER_S)
        self._sessions = {a.name: load_broker(a.broker).session for a in config.accounts}
        self.watch = Watch(
            paths, confirm_ns=confirm_ns, session_of=self._session_of,
            decoders=config.decoder.count, tell=self._tell_occurrence,
        )  # fmt: skip
        self.alerts = Alerts(self._tell_alert)
        # One policy alone needs them, and they are not for nothing.
        self._rates = {
            owner: InstrumentRates(paths)
            for owner, pool in pools.items()
            if pool.policy.policy is Policy.WEIGHTED
        }
        started_ts_ns = InstanceView(paths).read().started_ts_ns
        limits = {a.broker: load_broker(a.broker).limits for a in config.accounts}
        self.desk = Desk(
            config, pools,
            Stats(config, pools, self.watch, limits),
            Health(pools, self.watch, self.alerts, lambda: real_ns() - started_ts_ns),
            self.alerts, self.refresh,
        )  # fmt: skip
        self._told_ns = 0

    def refresh(self) -> None:
        """Look at everything, for whoever asks now."""
        self.follow(monotonic_ns(), every_ns=FRESH_NS)

    def follow(self, now_ns: int, *, every_ns: int = LOOK_NS) -> None:
        """Look at everything, if it is time."""
        capacities = {
            number: link.capacity
            for pool in self._pools.values()
            for number, link in pool.links.items()
            if link.wanted and (link.was_healthy or now_ns - link.opened_mono_ns >= BIRTH_NS)
        }
        if self.watch.look(now_ns, capacities, every_ns=every_ns):
            scores = {c.number: c.score for c in self.watch.health.connections}
            measured = {n: h.measured for n, h in self.watch.histories.items()}
            for pool in self._pools.values():
                pool.scores, pool.measured = scores, measured
            self._measure_instruments(now_ns)
            self.alerts.follow(facts(self._pools, self.watch), real_ns())
            self._tell_health(now_ns)

    def _measure_instruments(self, now_ns: int) -> None:
        for owner, rates in self._rates.items():
            pool = self._pools[owner]
            rates.look(now_ns, self.watch.readings.keys() & pool.links.keys(), pool.placement)
            pool.packet_rates = rates.rates

    def _session_of(self, number: int) -> Session:
        found = (pool.links.get(number) for pool in self._pools.values())
        link = next((link for link in found if link is not None), None)
        sessions = self._sessions
        return next(iter(sessions.values())) if link is None else sessions[link.account]

    def _tell_health(self, now_ns: int) -> None:
        found = self.watch.health
        level = _LEVELS.get(str(found.state))
        if level is not None and now_ns - self._told_ns >= TELL_NS:
            self._told_ns = now_ns
            count = len(found.healthy) + len(found.unhealthy)
            _log.log(level, f"{len(found.healthy)} of {count} connections are well")

    def _tell_occurrence(self, found: Occurrence) -> None:
        document = {
            "connection_id": found.connection,
            "connection_epoch": found.connection_epoch,
            "reason": found.reason.name,
            "start_ts_ns": found.start_ts_ns,
            "end_ts_ns": found.end_ts_ns,
        }
        if found.kind is EventKind.STATE:
            document |= {"state": found.state.name, "detail": found.detail}
        if found.kind is EventKind.GAP:
            document["instruments"] = found.instruments or None
        self.hub.publish(found.kind.name.lower(), document)

    def _tell_alert(self, alert: Alert) -> None:
        resolved = alert.resolved_ts_ns != 0
        self.hub.publish("alert", alert.document())
        fact = alert.fact
        text = f"alert {'resolved' if resolved else 'opened'}: {fact.kind}, {fact.subject}"
        _log.log(logging.INFO if resolved else logging.WARNING, f"{text}: {fact.text}")
