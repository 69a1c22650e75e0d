"""What a control process answers, for tests of the commands that show it."""

from __future__ import annotations

from typing import Any


def connection(number: int, **more: Any) -> dict[str, Any]:
    """Return a connection's part of the statistics."""
    return {
        "connection_id": number, "connected": True, "subscribed_tokens": 1000, "capacity": 1000,
        "available_capacity": 0, "utilization_percent": 100.0, "state": "LIVE",
        "wire_tokens": 1000, "confirmed_tokens": 998, "unconfirmed": 2, "health_score": 97.5,
        "health_band": "healthy", "tick_rate": {"s1": 2500.4, "s10": 2400.0, "s60": 2390.0},
        **more,
    }  # fmt: skip


STATS: dict[str, Any] = {
    "total_accounts": 1,
    "accounts": {
        "primary": {
            "account_id": "primary", "total_connections": 2, "total_target_tokens": 1500,
            "total_subscribed_tokens": 1500, "max_instruments_per_connection": 1000,
            "total_capacity": 2000, "orphaned": 3,
            "health": {"score": 88.2, "state": "healthy", "percentage": 100.0},
            "connections": [
                connection(0),
                connection(
                    11, connected=False, state="RECONNECTING", subscribed_tokens=500,
                    utilization_percent=50.0, health_score=None, health_band=None,
                ),
            ],
            "statistics": {"total_connections_created": 2},
        },
        "second": {"error": "KeyError", "message": "it failed"},
    },
    "note": "Each connection can handle up to ...",
    "pool": {"desired": 1503, "assigned": 1500, "wire": 1500, "confirmed": 1498, "orphaned": 3,
             "moving": 0, "mirrored": 1200, "mirrored_on_one": 12, "clients": 2},
}  # fmt: skip

HEALTH: dict[str, Any] = {
    "status": "degraded", "score": 71.4, "state": "degraded", "is_healthy": False,
    "is_degraded": True, "is_critical": False, "health_percentage": 66.7, "total_connections": 3,
    "healthy_connections": 2, "unhealthy_connections": [2], "active_message_flows": 2,
    "total_instruments": 9000, "orphaned": 12, "unconfirmed": 4,
    "connections": [
        {"connection_id": 0, "score": 100.0, "band": "healthy", "penalties": {"liveness": 0.0}},
        {"connection_id": 2, "score": 22.0, "band": "unhealthy",
         "penalties": {"liveness": 50.0, "reconnects": 10.0, "errors": 0.0, "ring": 18.0}},
    ],
    "alerts": [{"severity": "high", "kind": "connection_down", "text": "connection 2 is down"}],
}  # fmt: skip

SUBSCRIPTIONS: list[dict[str, Any]] = [
    {"instrument_token": 408065, "mode": "full", "priority": "warm", "connection": 0,
     "moving_to": None, "orphaned": False, "unplaced": None,
     "clients": ["cli", "a.1", "b.2", "c.3", "d.4"]},
    {"instrument_token": 256265, "mode": "ltp", "priority": "hot", "connection": 1,
     "mirror": 11, "moving_to": 2, "orphaned": False, "unplaced": None, "clients": ["cli"]},
    {"instrument_token": 4, "mode": "ltp", "priority": "cold", "connection": None,
     "moving_to": None, "orphaned": True, "unplaced": "capacity", "clients": ["cli"]},
    {"instrument_token": 6, "mode": "ltp", "priority": "cold", "connection": 3,
     "moving_to": None, "orphaned": True, "unplaced": None, "clients": ["cli"]},
    {"instrument_token": 5, "mode": "ltp", "priority": "cold", "connection": None,
     "moving_to": None, "orphaned": False, "unplaced": None, "clients": []},
]  # fmt: skip

CLIENTS: list[dict[str, Any]] = [
    {"name": "cli", "pid": 0, "connected": False, "durable": True, "instruments": 12,
     "modes": {"ltp": 2, "quote": 10, "full": 0}},
    {"name": "mean.4711", "pid": 4711, "connected": True, "durable": False, "instruments": 9000,
     "modes": {"ltp": 0, "quote": 0, "full": 9000}},
    {"name": "old.17", "pid": 17, "connected": False, "durable": False, "instruments": 1,
     "modes": {"ltp": 0, "quote": 1, "full": 0}},
]  # fmt: skip
