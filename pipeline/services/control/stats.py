"""`GET /advanced/websocket-pool/stats`: the pool as a JSON document. Floor 4; no I/O.

The fields that clients of such an endpoint know are unchanged; all else is in keys of its own.
Four sets are counted and never mixed (`sets` says which a number counts):

    desired    what clients want           wire       sent to the broker on this socket
    assigned   given to a connection       confirmed  a packet came on this socket

`unconfirmed` is on the wire for longer than `[pool] confirm_after_s` without a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pipeline.brokers.contract import Limits
from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.core.config import Config
from pipeline.planning.health import ConnectionHealth, band
from pipeline.planning.meters import Rates
from pipeline.services.control.keys import Key
from pipeline.services.control.links import Link
from pipeline.services.control.pool import Pool
from pipeline.services.control.readings import Reading
from pipeline.services.control.refused import Refused
from pipeline.services.control.watch import LastError, Watch, age_ns, percentile, totals

NOTE: Final = (
    "Each connection can handle up to max_instruments_per_connection instruments "
    "(default: {default})"
)
#: Which set each of the counts is of; the same for every account and connection.
SETS: Final = {
    "total_target_tokens": "desired",
    "total_subscribed_tokens": "assigned",
    "subscribed_tokens": "assigned",
    "available_capacity": "assigned",
    "utilization_percent": "assigned",
    "modes": "assigned",
    "wire_tokens": "wire",
    "confirmed_tokens": "confirmed",
    "unconfirmed": "wire, not confirmed",
    "orphaned": "desired, delivered by nobody",
    "mirrored": "desired on two connections",
    "mirrored_on_one": "of these, brought by one connection at most",
}
UNCONFIRMED_SHOWN: Final = 100
_LIMITS: Final = ("instruments_per_connection", "connections_per_key")
_NONE: Final = Rates()


class Stats:
    """Makes the documents of an instance, whose owners' pools are `pools`."""

    def __init__(
        self, config: Config, pools: Mapping[str, Pool], watch: Watch, limits: Mapping[str, Limits]
    ) -> None:
        self._pools = dict(pools)
        self._owners = {account.name: account.owner for account in config.accounts}
        self._watch = watch
        self._limits = limits
        keys = {(a.broker, a.api_key): a.name for a in reversed(config.accounts)}
        #: An account whose API key an earlier account has, too, is that account here.
        self._key_of = {a.name: keys[a.broker, a.api_key] for a in config.accounts}

    def everything(self, owner: str | None = None) -> dict[str, Any]:
        """Return the document of all accounts, or of an owner's; `total_accounts` are in use."""
        pools = [pool for name, pool in self._pools.items() if owner in (None, name)]
        keys = sorted((key for pool in pools for key in pool.assigned.keys), key=lambda k: k.index)
        accounts = {key.account: self._account(key) for key in keys}
        default = max(key.instruments_per_connection for key in keys)
        own = {number for pool in pools for number in pool.links}
        readings = [r for n, r in self._watch.readings.items() if owner is None or n in own]
        decoders = {number for pool in pools for number in pool.assigned.slots}
        return {
            "total_accounts": sum(bool(found["total_connections"]) for found in accounts.values()),
            "accounts": accounts,
            "note": NOTE.format(default=default),
            "sets": SETS,
            "decoders": [d.document() for d in self._watch.decoders if d.number in decoders],
            "pool": {
                "desired": sum(len(pool.ledger.desired) for pool in pools),
                "assigned": sum(len(pool.placement) for pool in pools),
                "wire": sum(reading.wire for reading in readings),
                "confirmed": sum(reading.confirmed for reading in readings),
                "orphaned": sum(len(pool.orphans) for pool in pools),
                "moving": sum(len(pool.moves.under_way) for pool in pools),
                "mirrored": sum(len(pool.mirrors.wished) for pool in pools),
                "mirrored_on_one": sum(pool.mirrors.single for pool in pools),
                "connections_asked": sum(pool.upkeep.asked or 0 for pool in pools),
                "clients": sum(
                    client.whole is None
                    for pool in pools
                    for client in pool.ledger.clients.values()
                ),
            },
        }

    def account(self, account_id: str, owner: str | None = None) -> dict[str, Any]:
        """Return one account's document; Refused when it is unknown, or has no connection yet.

        An owner knows no account of another's.
        """
        known_names = [a for a, whose in self._owners.items() if owner in (None, whose)]
        name = self._key_of.get(account_id) if account_id in known_names else None
        if name is None:
            known = ", ".join(known_names)
            raise Refused("not_found", f"Account {account_id[:60]!r} not found; known: {known}")
        keys = self._pool_of(name).assigned.keys
        key = next(key for key in keys if key.account == name)
        if not self._links(name):
            text = f"Account {account_id!r} has no active WebSocket pool: nothing is subscribed"
            raise Refused("not_found", text)
        return self._account(key)

    # ---- one account ------------------------------------------------------------------------

    def _pool_of(self, account: str) -> Pool:
        return self._pools[self._owners[account]]

    def _links(self, account: str) -> list[Link]:
        links = self._pool_of(account).links.values()
        return [link for link in links if link.account == account]

    def _account(self, key: Key) -> dict[str, Any]:
        pool, links = self._pool_of(key.account), self._links(key.account)
        readings = [r for link in links if (r := self._watch.readings.get(link.number))]
        subscribed = _subscribed(pool, links)
        orphaned, waiting = self._orphaned(key.account, links)
        counters = pool.assigned.of_account[key.account]
        return {
            "account_id": key.account,
            "total_connections": len(links),
            "total_target_tokens": subscribed + waiting,
            "total_subscribed_tokens": subscribed,
            "max_instruments_per_connection": key.instruments_per_connection,
            "total_capacity": sum(link.capacity for link in links),
            "connections": [self._connection(link) for link in links],
            "statistics": {
                "total_connections_created": counters.connections_opened,
                "total_subscriptions": counters.subscriptions,
                "total_unsubscriptions": counters.unsubscriptions,
            },
            "owner": self._owners[key.account],
            "broker": key.broker,
            "policy": str(pool.policy.policy),
            "health": self._health(links),
            "totals": _summed([totals(reading) for reading in readings]),
            "wire_tokens": sum(reading.wire for reading in readings),
            "confirmed_tokens": sum(reading.confirmed for reading in readings),
            "unconfirmed": sum(len(reading.unconfirmed) for reading in readings),
            "orphaned": orphaned,
            "limits": self._key_limits(key),
        }

    def _orphaned(self, account: str, links: Iterable[Link]) -> tuple[int, int]:
        """Return (delivered by nobody, of those without a connection) of one account.

        What has no connection and is not pinned to an account counts with its owner's first.
        """
        pool = self._pool_of(account)
        first = pool.assigned.keys[0].account
        waiting = 0
        for token in pool.unplaced:
            want = pool.ledger.desired.get(token)
            pinned = None if want is None or want.account is None else want.account
            waiting += self._key_of.get(pinned or first) == account
        seconds = pool.assigned.mirrors
        down = sum(
            seconds.get(token) != link.number for link in links if link.is_down
            for token in link.rows
        )  # fmt: skip
        return waiting + down, waiting

    def _health(self, links: Sequence[Link]) -> dict[str, Any]:
        own = {link.number for link in links}
        found = [c for c in self._watch.health.connections if c.number in own]
        capacity = {link.number: link.capacity for link in links}
        weight = sum(capacity[c.number] for c in found)
        score = sum(c.score * capacity[c.number] for c in found) / weight if weight else 100.0
        well = sum(c.band != "unhealthy" for c in found)
        return {
            "score": round(score, 1),
            "state": str(band(score)),
            "percentage": round(100.0 * well / len(found), 2) if found else 100.0,
        }

    def _key_limits(self, key: Key) -> dict[str, Any]:
        broker = self._limits[key.broker]
        own = key.instruments_per_connection, key.connections_max
        is_lower = own != (broker.instruments_per_connection, broker.connections_per_key)
        return {
            "per_connection": key.instruments_per_connection,
            "per_key": key.instruments_per_connection * key.connections_max,
            "connections_per_key": key.connections_max,
            "broker_per_connection": broker.instruments_per_connection,
            "broker_connections_per_key": broker.connections_per_key,
            "source": "[pool], below the broker's limits" if is_lower else "the broker's limits",
            "sources": {name: broker.sources[name] for name in _LIMITS if name in broker.sources},
        }

    # ---- one connection ---------------------------------------------------------------------

    def _connection(self, link: Link) -> dict[str, Any]:
        reading = self._watch.readings.get(link.number)
        count = len(link.rows)
        known = {
            "connection_id": link.number,
            "connected": reading is not None and reading.connected,
            "subscribed_tokens": count,
            "capacity": link.capacity,
            "available_capacity": link.capacity - count,
            "utilization_percent": round(100 * count / link.capacity, 2)
            if link.capacity
            else 100.0,
            "decoder": link.decoder,
            "seat": link.seat,
            "draining": link.draining or not link.wanted,
        }
        if reading is None:
            return {**known, "state": "IDLE", "reason": "NONE", "since_ts_ns": 0}
        return {**known, **self._seen(link, reading)}

    def _seen(self, link: Link, reading: Reading) -> dict[str, Any]:
        now_ns, history = self._watch.taken_ns, self._watch.histories[link.number]
        health = self._watch.score(link.number)
        rates = history.rates
        return {
            "state": reading.state.name,
            "reason": reading.reason.name,
            "since_ts_ns": reading.since_ts_ns,
            "pid": reading.pid,
            "alive": reading.alive,
            "hung": reading.hung,
            "connection_epoch": reading.connection_epoch,
            **_scored(health),
            "tick_rate": _spans(rates.get("ticks", _NONE)),
            "frame_rate": _spans(rates.get("frames", _NONE)),
            "packet_rate": _spans(rates.get("packets", _NONE)),
            "byte_rate": _spans(rates.get("bytes", _NONE)),
            "heartbeat_rate": _spans(rates.get("heartbeats", _NONE)),
            "last_frame_age_ms": _ms(now_ns, reading.last_byte_mono_ns),
            "last_data_age_ms": _ms(now_ns, reading.last_data_mono_ns),
            "last_heartbeat_age_ms": _ms(now_ns, history.last_heartbeat_mono_ns),
            "process_age_ms": _ms(now_ns, reading.heartbeat_mono_ns),
            "tick_age_ms": _ages(reading),
            "ring": {
                "size": reading.ring_capacity,
                "used": reading.ring_used,
                "hwm": round(max(history.fills, default=0.0) * reading.ring_capacity),
            },
            "reconnects": reading.feed["reconnects"],
            "last_error": _error(history.last_error),
            "modes": dict(reading.modes),
            "wire_tokens": reading.wire,
            "confirmed_tokens": reading.confirmed,
            "unconfirmed": len(reading.unconfirmed),
            "unconfirmed_tokens": list(reading.unconfirmed[:UNCONFIRMED_SHOWN]),
            "totals": totals(reading),
        }


def _subscribed(pool: Pool, links: Iterable[Link]) -> int:
    """Return how many instruments these carry; one that two of them carry counts once."""
    own = {link.number for link in links}
    owners = pool.placement
    moving = pool.moves.under_way.values()
    both = sum(m.source in own and m.target in own for m in moving)
    both += sum(n in own and owners[token] in own for token, n in pool.assigned.mirrors.items())
    return sum(len(link.rows) for link in links) - both


def _scored(health: ConnectionHealth | None) -> dict[str, Any]:
    if health is None:
        return {"health_score": None, "health_band": None, "health_penalties": {}}
    penalties = {name: round(value, 2) for name, value in health.penalties._asdict().items()}
    return {
        "health_score": round(health.score, 1),
        "health_band": str(health.band),
        "health_penalties": penalties,
    }


def _spans(rates: Rates) -> dict[str, float]:
    return {name: round(value, 2) for name, value in rates._asdict().items()}


def _ms(now_ns: int, then_ns: int) -> float | None:
    return round(age_ns(now_ns, then_ns) / NS_PER_MS, 1) if then_ns else None


def _ages(reading: Reading) -> dict[str, float] | None:
    """Receive time less exchange time of the newest ticks; the exchange counts whole seconds."""
    if not reading.ages_ns.size:
        return None
    return {
        f"p{percent}": round(percentile(reading.ages_ns, percent) / NS_PER_MS, 1)
        for percent in (50, 95, 99)
    }


def _error(found: LastError | None) -> dict[str, Any] | None:
    if found is None:
        return None
    code = f" ({found.code})" if found.code else ""
    return {
        "class": found.reason,
        "code": found.code or None,
        "text": f"{found.state}: {found.reason.lower().replace('_', ' ')}{code}",
        "at": found.ts_ns / NS_PER_S,
    }


def _summed(rows: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found = dict.fromkeys(
        (
            "frames", "packets", "ticks", "bytes", "heartbeats", "drops", "gaps", "instrument_gaps",
            "errors",
        ),
        0,
    )  # fmt: skip
    for row in rows:
        for name, value in row.items():
            found[name] += value
    return found
