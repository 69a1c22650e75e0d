"""Figures for the page's tests, of the shape that the product makes; a test compares the keys."""

from __future__ import annotations

import math
import random
import time
from typing import Any

NS = 1_000_000_000
EXCHANGES = ("NSE", "NSE", "NFO", "BSE", "MCX")


def instruments(count: int, connections: int) -> dict[str, Any]:
    """Return the list of names, spread over the connections."""
    rows = [
        [256 + n, EXCHANGES[n % 5], f"STOCK{n:05d}", n % max(connections, 1), account(n % 3)]
        for n in range(count)
    ]
    return {"rows": rows, "unnamed": 0, "problem": ""}


def account(number: int) -> str:
    return ("first", "second")[number % 2]


def document(connections: int, count: int, elapsed_s: float) -> dict[str, Any]:
    """Return the state of a pool that runs well, with a past that was not always so."""
    now = time.time_ns()
    each = count // connections if connections else 0
    rows = [_connection(n, each, elapsed_s, now) for n in range(connections)]
    return {
        "instance": {
            "name": "demo-pool", "id": "ab" * 16, "state": "RUNNING", "reason": "STARTED",
            "live": True, "uptime_s": 4000 + elapsed_s, "started_ts_ns": now - 4000 * NS,
            "shm_bytes": 47_000_000, "deaths": 1,
        },
        "taken_ts_ns": now,
        "owner": None,
        "interval_s": 0.5,
        "problems": [],
        "connections": rows,
        "decoders": [{
            "number": 0, "pid": 4711, "alive": True, "heartbeat_age_s": 0.1, "commits": 99_000,
            "latency": _latency(elapsed_s) if connections else None,
            "latency_since_start": _latency(0),
        }],
        "readers": [{
            "name": "momentum", "pid": 4720, "alive": True, "policy": "resume",
            "ticks_per_s": 6 * each, "ticks": 1_000_000, "lag": 12, "lost": 0, "laps": 0,
            "latency": _latency(elapsed_s + 3), "latency_since_start": _latency(1),
        }] if connections else [],
        "strategies": [{
            "name": "bars", "phase": "on_ticks", "phase_s": 0.1, "slow": False, "calls": 90_000,
            "ticks": 1_000_000, "events": 4, "lost": 0, "dropped": 0, "errors": 0, "printed": 12,
        }] if connections else [],
        "processes": [_process(n, name) for n, name in enumerate(
            [*(f"feed-{n}" for n in range(connections)), "decoder-0", "control", "gateway"]
        )],
        "gateway": _gateway(count, elapsed_s),
        "pool": _pool(rows, count),
        "alerts": _alerts(now) if connections else {"open": [], "resolved": []},
        "happenings": _happenings(connections, now, elapsed_s),
    }  # fmt: skip


def bad_day(found: dict[str, Any]) -> dict[str, Any]:
    """Return a document in which much is amiss, and told in words that are long."""
    now = found["taken_ts_ns"]
    address = f"https://broker.example/{'averylongpathwithoutanybreak' * 8}"
    capacity = {
        "id": 9, "kind": "capacity", "subject": "connection 1", "severity": "error",
        "text": f"the broker says: no more than 3000 instruments, see {address}; " * 3,
        "since_ts_ns": now - 300 * NS, "resolved": False, "resolved_ts_ns": None,
    }  # fmt: skip
    rejected = {
        **capacity, "id": 8, "kind": "token_rejected", "subject": "account second",
        "severity": "critical", "text": "the broker rejects its token",
    }  # fmt: skip
    found["alerts"]["open"] = [capacity, rejected]
    found["problems"] = ["connection 1 is STALLED (no_bytes) for 12.3 s"]
    found["connections"][1] |= {
        "state": "STALLED", "reason": "NO_BYTES", "since_ts_ns": now - 12 * NS, "confirmed": 5,
        "reconnects": 31, "errors": 4, "gaps": 12, "lost": 3, "ticks_per_s": 0.0,
        "bytes_per_s": 0.0, "last_data_age_s": 12.3,
    }  # fmt: skip
    ring = {"capacity": 24_000, "behind": 16_000, "fill_percent": 66.7}
    found["connections"][0]["frame_ring"] = ring
    found["strategies"][0] |= {"phase_s": 8.5, "slow": True, "lost": 12, "errors": 2}
    found["processes"][0] |= {
        "alive": False, "circuit_open": True, "last_exit_code": -11,
        "last_exit_reason": "PROCESS_CRASHED", "restarts": 5,
    }  # fmt: skip
    found["pool"] |= {"state": "degraded", "score": 61.2}
    return found


def _latency(at: float) -> dict[str, int]:
    p50 = int(28_000 + 6_000 * math.sin(at / 3))
    return {
        "samples": 900, "p50_ns": p50, "p99_ns": p50 * 6, "p999_ns": p50 * 30, "max_ns": p50 * 40,
    }  # fmt: skip


def _connection(number: int, each: int, elapsed_s: float, now: int) -> dict[str, Any]:
    fill = abs(8 * math.sin(elapsed_s / 4 + number))
    return {
        "number": number, "broker": "kite", "account": account(number), "decoder": 0,
        "state": "LIVE", "reason": "FIRST_DATA", "since_ts_ns": now - 240 * NS, "epoch": 2,
        "feed_alive": True, "assigned": each, "wire": each, "confirmed": each,
        "ticks_per_s": 2 * each + 5 * math.sin(elapsed_s), "bytes_per_s": 380.0 * each,
        "ticks": 1_200_345, "last_byte_age_s": 0.1, "last_data_age_s": 0.2,
        "frame_ring": {"capacity": 24_000, "behind": 240, "fill_percent": round(fill, 2)},
        "tick_stream": {"capacity": 16_384, "behind": 0, "fill_percent": round(fill / 2, 2)},
        "reconnects": int(number == 1), "stalls": 0, "resets": int(number == 1), "errors": 0,
        "gaps": int(number == 1), "lost": 0,
    }  # fmt: skip


def _gateway(count: int, elapsed_s: float) -> dict[str, Any]:
    return {
        "pid": 4730, "alive": True, "port": 8765, "clients": 12, "authenticated": 12,
        "subscriptions": 45 * 12, "instruments": count, "messages_per_s": 1200.0,
        "messages": 1_000_000, "waiting": 0, "conflated": 14, "dropped": 0, "cut": 0,
        "cut_by": {"stalled": 0}, "refused": 3, "refused_by": {"origin": 2, "wrong_keys": 1},
        "lost": 0, "lost_by": {"ticks": 0, "orders": 0}, "latency": _latency(elapsed_s + 5),
        "latency_since_start": _latency(2),
    }  # fmt: skip


def _process(number: int, name: str) -> dict[str, Any]:
    return {
        "name": name, "role": name.split("-")[0], "pid": 4700 + number, "alive": True,
        "done": False, "uptime_s": 4000.0, "restarts": int(name == "gateway"),
        "circuit_open": False, "last_exit_code": -9 if name == "gateway" else None,
        "last_exit_reason": "PROCESS_KILLED" if name == "gateway" else None,
    }  # fmt: skip


def _pool(rows: list[dict[str, Any]], count: int) -> dict[str, Any]:
    accounts = []
    for name in ("first", "second"):
        own = [row for row in rows if row["account"] == name]
        accounts.append({
            "name": name, "broker": "kite", "policy": "least_loaded",
            "instruments": sum(row["assigned"] for row in own), "waiting": 0,
            "connections_max": 3, "per_connection": 3000,
            "connections": [{
                "number": row["number"], "instruments": row["assigned"], "capacity": 3000,
                "draining": False, "modes": {"full": row["assigned"]},
            } for row in own],
        })  # fmt: skip
    return {
        "desired": count, "assigned": count, "wire": count, "confirmed": count, "orphaned": 0,
        "moving": 0, "mirrored": 0, "mirrored_on_one": 0, "clients": 2, "connections_asked": 0,
        "state": "healthy", "score": 98.3,
        "scores": {str(row["number"]): {"score": 97.0, "band": "healthy"} for row in rows},
        "accounts": accounts,
    }  # fmt: skip


def _alerts(now: int) -> dict[str, Any]:
    resolved = {
        "id": 1, "kind": "connection_down", "subject": "connection 1", "severity": "error",
        "text": "RECONNECTING (reset); 3000 instruments wait for it",
        "since_ts_ns": now - 245 * NS, "resolved": True, "resolved_ts_ns": now - 240 * NS,
    }  # fmt: skip
    return {"open": [], "resolved": [resolved]}


def _happenings(connections: int, now: int, elapsed_s: float) -> list[dict[str, Any]]:
    start = now - int((600 + elapsed_s) * NS)
    found = []
    for number in range(connections):
        found += [_state(number, "CONNECTING", "STARTED", start),
                  _state(number, "LIVE", "FIRST_DATA", start + 2 * NS)]  # fmt: skip
    if connections > 1:
        at = start + 350 * NS
        gap = _state(1, "", "RESET", at + 4 * NS) | {"kind": "gap", "start_ts_ns": at}
        found += [_state(1, "RECONNECTING", "RESET", at), gap,
                  _state(1, "LIVE", "FIRST_DATA", at + 4 * NS)]  # fmt: skip
    return [{**row, "number": n} for n, row in enumerate(found, 1)]


def _state(connection: int, state: str, reason: str, at: int) -> dict[str, Any]:
    return {
        "number": 0, "kind": "state", "connection": connection, "state": state, "reason": reason,
        "detail": 0, "start_ts_ns": at, "end_ts_ns": at,
    }  # fmt: skip


def tick(
    exchange: str, symbol: str, mode: int, ltp: float, base: float, rng: random.Random
) -> dict[str, Any]:
    """Return the `data` of one tick in a mode."""
    now_ms = time.time_ns() // 1_000_000
    data: dict[str, Any] = {
        "symbol": symbol, "exchange": exchange, "mode": ("ltp", "quote", "full")[mode - 1],
        "ltp": ltp, "ltt": now_ms, "timestamp": now_ms,
    }  # fmt: skip
    if mode > 1:
        close = base - 3
        data |= {
            "open": base, "high": base + 9.5, "low": base - 7.25, "close": close,
            "volume": now_ms // 100 % 10_000_000, "last_trade_quantity": 5, "average_price": base,
            "avg_trade_price": base, "change": round(ltp - close, 2),
            "change_percent": round(100 * (ltp - close) / close, 2),
            "total_buy_quantity": 123_456, "total_sell_quantity": 98_765, "oi": 0,
        }  # fmt: skip
    if mode > 2:
        data["depth"] = {
            side: [
                {"price": round(ltp + sign * 0.05 * (n + 1), 2),
                 "quantity": rng.randrange(1, 5000), "orders": rng.randrange(1, 40)}
                for n in range(5)
            ]
            for side, sign in (("buy", -1), ("sell", 1))
        }  # fmt: skip
    return data
