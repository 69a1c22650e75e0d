"""What the screen shows of an instance, as one JSON document. Floor 4; pure.

Every figure is `top`'s: the same looks, the same window, the same accounts of what was lost. The
pool adds what only its control process knows: scores, capacities, alerts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.services.status.health import problems
from pipeline.services.status.model import (
    Connection,
    Decoder,
    Gateway,
    InstanceStatus,
    Latency,
    Process,
    Reader,
    Ring,
    Strategy,
)
from pipeline.services.status.recent import Recent

#: What a feed counts of errors, as `stat` sums them.
FEED_ERRORS: Final = (
    "protocol_errors", "utf8_errors", "too_big", "slow_frames", "ping_floods", "server_errors",
    "handshake_failures",
)  # fmt: skip


def state_document(status: InstanceStatus, recent: Recent) -> dict[str, Any]:
    """Return what shared memory tells: instance, connections, decoders, readers, processes."""
    return {
        "instance": {
            "name": status.name,
            "id": status.instance_id,
            "state": status.state,
            "reason": status.reason,
            "live": status.live,
            "uptime_s": round(status.uptime_s, 1),
            "started_ts_ns": status.started_ts_ns,
            "shm_bytes": status.shm_bytes,
            "deaths": status.deaths,
        },
        "taken_ts_ns": status.taken_ts_ns,
        "problems": problems(status),
        "connections": [_connection(one, recent) for one in status.connections],
        "decoders": [_decoder(one, recent) for one in status.decoders],
        "readers": [_reader(one, recent) for one in status.readers],
        "strategies": [_strategy(one) for one in status.strategies],
        "processes": [_process(one) for one in status.processes],
        "gateway": None if status.gateway is None else _gateway(status.gateway, recent),
    }


def pool_document(stats: Mapping[str, Any], health: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pool's part: totals, the plan by account, scores by connection number."""
    return {
        **stats["pool"],
        "state": health["state"],
        "score": health["score"],
        "scores": {
            str(one["connection_id"]): {"score": one["score"], "band": one["band"]}
            for one in health["connections"]
        },
        "accounts": [_account(found) for found in stats["accounts"].values()],
    }


def _account(found: Mapping[str, Any]) -> dict[str, Any]:
    limits = found["limits"]
    return {
        "name": found["account_id"],
        "broker": found["broker"],
        "policy": found["policy"],
        "instruments": found["total_subscribed_tokens"],
        "waiting": found["total_target_tokens"] - found["total_subscribed_tokens"],
        "connections_max": limits["connections_per_key"],
        "per_connection": limits["per_connection"],
        "connections": [
            {
                "number": one["connection_id"],
                "instruments": one["subscribed_tokens"],
                "capacity": one["capacity"],
                "draining": one["draining"],
                "modes": one.get("modes", {}),
            }
            for one in found["connections"]
        ],
    }


def _connection(one: Connection, recent: Recent) -> dict[str, Any]:
    feed, decode, sets = one.feed_counters, one.decode_counters, one.instruments
    return {
        "number": one.number,
        "broker": one.broker,
        "account": one.account,
        "decoder": one.decoder,
        "state": one.state,
        "reason": one.reason,
        "since_ts_ns": one.since_ts_ns,
        "epoch": one.connection_epoch,
        "feed_alive": one.feed_alive,
        "assigned": sets.assigned,
        "wire": sets.wire,
        "confirmed": sets.confirmed,
        "ticks_per_s": recent.rates.ticks.get(one.number),
        "bytes_per_s": recent.rates.bytes.get(one.number),
        "ticks": decode["ticks_out"],
        "last_byte_age_s": one.last_byte_age_s,
        "last_data_age_s": one.last_data_age_s,
        "frame_ring": _ring(one.frames),
        "tick_stream": _ring(one.ticks),
        "reconnects": feed["reconnects"],
        "stalls": feed["stalls"],
        "resets": feed["resets"],
        "errors": sum(feed[name] for name in FEED_ERRORS),
        "gaps": decode["gaps_out"],
        "lost": decode["frames_overrun"] + decode["frames_quarantined"],
    }


def _ring(ring: Ring) -> dict[str, float]:
    return {"capacity": ring.capacity, "behind": ring.behind, "fill_percent": ring.fill_percent}


def _decoder(one: Decoder, recent: Recent) -> dict[str, Any]:
    return {
        "number": one.number,
        "pid": one.pid,
        "alive": one.alive,
        "heartbeat_age_s": one.heartbeat_age_s,
        "commits": one.commits,
        "latency": _latency(recent.published.get(one.number)),
        "latency_since_start": _latency(one.receive_to_publish),
    }


def _reader(one: Reader, recent: Recent) -> dict[str, Any]:
    key = one.name, one.pid
    return {
        "name": one.name,
        "pid": one.pid,
        "alive": one.alive,
        "policy": one.policy,
        "ticks_per_s": recent.rates.delivered.get(key),
        "ticks": one.delivered,
        "lag": one.lag,
        "lost": one.lost,
        "laps": one.laps,
        "latency": _latency(recent.delivered.get(key)),
        "latency_since_start": _latency(one.latency),
    }


def _strategy(one: Strategy) -> dict[str, Any]:
    return {
        "name": one.name,
        "phase": one.phase,
        "phase_s": one.phase_s,
        "slow": one.is_slow,
        "calls": one.calls,
        "ticks": one.ticks,
        "events": one.events,
        "lost": one.lost,
        "dropped": one.dropped,
        "errors": one.exceptions,
        "printed": one.output_lines + one.output_lines_dropped,
    }


def _process(one: Process) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": one.role,
        "pid": one.pid,
        "alive": one.alive,
        "done": one.is_done,
        "uptime_s": one.uptime_s,
        "restarts": one.restarts,
        "circuit_open": one.circuit_open,
        "last_exit_code": one.last_exit_code,
        "last_exit_reason": one.last_exit_reason,
    }


def _gateway(one: Gateway, recent: Recent) -> dict[str, Any]:
    counted = one.counters
    return {
        "pid": one.pid,
        "alive": one.alive,
        "port": one.port,
        "clients": one.clients,
        "authenticated": one.authenticated,
        "subscriptions": one.subscriptions,
        "instruments": one.instruments,
        "messages_per_s": recent.messages_per_s,
        "messages": counted["messages_sent"],
        "waiting": one.messages_waiting,
        "conflated": counted["messages_conflated"],
        "dropped": counted["messages_dropped"],
        "cut": sum(one.cut_by.values()),
        "cut_by": one.cut_by,
        "refused": sum(one.refused_by.values()),
        "refused_by": one.refused_by,
        "lost": sum(one.lost_by.values()),
        "lost_by": one.lost_by,
        "latency": _latency(recent.sent),
        "latency_since_start": _latency(one.receive_to_send),
    }


def _latency(found: Latency | None) -> dict[str, int] | None:
    """Return percentiles in ns; None where there were no samples."""
    if found is None or not found.samples:
        return None
    return {
        "samples": found.samples, "p50_ns": found.p50_ns, "p99_ns": found.p99_ns,
        "p999_ns": found.p999_ns, "max_ns": found.max_ns,
    }  # fmt: skip
