"""`GET /metrics`: the figures for Prometheus, made when they are asked for. Floor 4.

They come from the documents of `stats`, and so from the status pages: the two never differ. The
names of `websocket_pool_*` are those that dashboards of such pools know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.services.control.api.openalgo.access import gateway_counts
from pipeline.services.control.front import Front

_POOL: Final = "websocket_pool"
_CONNECTION: Final = ("account_id", "connection_id")

_ACCOUNT_GAUGES: Final = (
    ("connections", "total_connections", "Connections of the account"),
    ("subscribed_tokens", "total_subscribed_tokens", "Instruments given to a connection"),
    ("target_tokens", "total_target_tokens", "Instruments that clients want"),
    ("wire_tokens", "wire_tokens", "Instruments sent to the broker on the open sockets"),
    ("confirmed_tokens", "confirmed_tokens", "Instruments with a packet on the open socket"),
    ("unconfirmed_tokens", "unconfirmed", "On the wire for long without a packet"),
    ("orphaned_tokens", "orphaned", "Wanted, and delivered by nobody"),
)
_ACCOUNT_COUNTERS: Final = (
    ("subscriptions", "total_subscriptions", "Instruments that were given a connection"),
    ("unsubscriptions", "total_unsubscriptions", "Instruments that nobody wants any more"),
)
_CONNECTION_COUNTERS: Final = (
    ("frames", "Binary messages received"),
    ("packets", "Packets in them"),
    ("ticks", "Ticks published"),
    ("bytes", "Bytes received"),
    ("heartbeats", "Heartbeats received"),
    ("drops", "Messages, frames and packets dropped, each counted by reason in the stats"),
    ("gaps", "Interruptions announced to readers"),
    ("instrument_gaps", "Gaps of single instruments announced, which changed their connection"),
    ("errors", "Errors of the connection and of its decoding"),
)


#: Of the gateway's page: family, its label, and the counts of each label by their names there.
_GATEWAY_COUNTERS: Final = (
    ("ticks", "outcome", "Ticks that came in", ("ticks_wanted", "ticks_unwanted")),
    ("messages", "outcome", "Messages that ticks made, one for each client and mode",
     ("messages_sent", "messages_conflated", "messages_dropped")),
    ("lost", "what", "Overwritten before the gateway read it", ("ticks_lost", "orders_lost")),
    ("refused", "reason", "Connections turned away",
     ("refused_host", "refused_origin", "refused_full", "refused_address", "refused_banned",
      "refused_handshake")),
    ("cut", "reason", "Clients put out",
     ("cut_stalled", "cut_backlog", "cut_silent", "cut_protocol", "cut_unauthenticated",
      "cut_wrong_keys", "cut_excess", "cut_revoked")),
    ("keys", "outcome", "Keys that were shown", ("keys_accepted", "keys_refused")),
    ("bans", None, "Addresses banned for wrong keys", ("bans",)),
)  # fmt: skip
_GATEWAY_GAUGES: Final = (
    ("clients", "Clients that are connected"),
    ("authenticated", "Clients that have shown a key"),
    ("subscriptions", "Instruments and modes of all clients"),
    ("messages_waiting", "Messages in the clients' outboxes"),
)


class PoolCollector(Collector):
    """Collects one pool, and the gateway beside it if there is one."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        accounts = self._front.stats()["accounts"]
        yield from _accounts(accounts)
        yield from _connections(accounts)
        yield from self._own()
        yield from _gateway(gateway_counts(self._front.paths))

    def _own(self) -> Iterator[Metric]:
        errors = CounterMetricFamily(
            f"{_POOL}_subscription_errors", "Requests refused", labels=["error_type"]
        )
        for code, count in sorted(self._front.refusals.items()):
            errors.add_metric([code], count)
        yield errors
        health = self._front.health(brief=False)
        score = GaugeMetricFamily(f"{_POOL}_health_score", "0 to 100, the mean by capacity")
        score.add_metric([], health["score"])
        yield score
        alerts = GaugeMetricFamily(f"{_POOL}_open_alerts", "Alerts that hold", labels=["kind"])
        kinds = [alert["kind"] for alert in health["alerts"]]
        for kind in sorted(set(kinds)):
            alerts.add_metric([kind], kinds.count(kind))
        yield alerts


class Metrics:
    """The collector in a registry of its own."""

    def __init__(self, front: Front) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(PoolCollector(front))

    def __call__(self) -> tuple[bytes, str]:
        """Return the figures and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


def _accounts(accounts: Mapping[str, Any]) -> Iterator[Metric]:
    for name, field, text in _ACCOUNT_GAUGES:
        gauge = GaugeMetricFamily(f"{_POOL}_{name}", text, labels=["account_id"])
        for account, found in accounts.items():
            gauge.add_metric([account], found[field])
        yield gauge
    info = GaugeMetricFamily(
        f"{_POOL}_account_info", "1: whose the account is", labels=["account_id", "owner"]
    )
    for account, found in accounts.items():
        info.add_metric([account, found["owner"]], 1)
    yield info
    used = GaugeMetricFamily(
        f"{_POOL}_capacity_utilization_percent", "Instruments given to connections, of the room "
        "that they have", labels=["account_id"],
    )  # fmt: skip
    for account, found in accounts.items():
        room = found["total_capacity"]
        percent = 100 * found["total_subscribed_tokens"] / room if room else 0.0
        used.add_metric([account], round(percent, 2))
    yield used
    for name, field, text in _ACCOUNT_COUNTERS:
        counter = CounterMetricFamily(f"{_POOL}_{name}", text, labels=["account_id"])
        for account, found in accounts.items():
            counter.add_metric([account], found["statistics"][field])
        yield counter


def _gateway(counts: Mapping[str, int]) -> Iterator[Metric]:
    if not counts:
        return
    for name, label, text, fields in _GATEWAY_COUNTERS:
        counter = CounterMetricFamily(f"gateway_{name}", text, labels=[label] if label else [])
        for field in fields:
            value = field.removeprefix(f"{name}_").removesuffix(f"_{name}")
            counter.add_metric([value] if label else [], counts[field])
        yield counter
    for name, text in _GATEWAY_GAUGES:
        gauge = GaugeMetricFamily(f"gateway_{name}", text)
        gauge.add_metric([], counts[name])
        yield gauge


def _connections(accounts: Mapping[str, Any]) -> Iterator[Metric]:
    rows = [
        ((account, str(one["connection_id"])), one)
        for account, found in accounts.items()
        for one in found["connections"]
    ]
    status = GaugeMetricFamily(f"{_POOL}_connected_status", "1: connected", labels=_CONNECTION)
    for labels, one in rows:
        status.add_metric(labels, int(one["connected"]))
    yield status
    for name, text in _CONNECTION_COUNTERS:
        counter = CounterMetricFamily(f"{_POOL}_connection_{name}", text, labels=_CONNECTION)
        for labels, one in rows:
            if "totals" in one:
                counter.add_metric(labels, one["totals"][name])
        yield counter
    reconnects = CounterMetricFamily(
        f"{_POOL}_connection_reconnects", "Connections made again", labels=_CONNECTION
    )
    for labels, one in rows:
        if "reconnects" in one:
            reconnects.add_metric(labels, one["reconnects"])
    yield reconnects
