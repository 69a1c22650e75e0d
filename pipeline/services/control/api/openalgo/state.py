"""How well the streaming is, as OpenAlgo's health page has it. Floor 4; pure.

Orders belong on fresh prices: trading is called safe only while data comes, and while every
connection that carries instruments is there: one that flows says nothing of what another carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

#: Ticks older than this are no ground to trade on.
FRESH_S: Final = 5.0
_MS_PER_S: Final = 1000.0

Document = Mapping[str, Any]


def health_document(stats: Document, subscribers: int, uptime_s: float) -> dict[str, Any]:
    """Return the health page's document, from the stats of an owner's accounts."""
    connections = _connections(stats)
    connected = any(one["connected"] for one in connections)
    rejected = [one for one in connections if one.get("state") == "AUTH_EXPIRED"]
    age_s = _age_s(connections)
    flowing = age_s is not None and age_s <= FRESH_S
    reason = _reason(connections, connected, flowing)
    totals = [account["totals"] for account in stats["accounts"].values()]
    return {
        "status": "healthy" if flowing else "connected" if connected else "disconnected",
        "healthy": flowing,
        "connected": connected,
        "authenticated": connected and not rejected,
        "data_flow_healthy": flowing,
        "last_data_age_seconds": age_s,
        "cache_size": stats["pool"]["confirmed"],
        "total_subscribers": subscribers,
        "critical_subscribers": 0,
        "total_updates_processed": _sum(totals, "ticks"),
        "validation_errors": _sum(totals, "drops"),
        "stale_data_events": _sum(totals, "gaps"),
        "reconnect_count": sum(one.get("reconnects", 0) for one in connections),
        "uptime_seconds": round(uptime_s, 1),
        "trade_management_safe": not reason,
        "trade_management_reason": reason or "Data is fresh",
        "message": reason or "All is well",
    }


def _connections(stats: Document) -> list[Document]:
    return [one for account in stats["accounts"].values() for one in account["connections"]]


def _age_s(connections: Iterable[Document]) -> float | None:
    ages = [one.get("last_data_age_ms") for one in connections if one["connected"]]
    known = [age for age in ages if age is not None]
    return round(min(known) / _MS_PER_S, 3) if known else None


def _reason(connections: list[Document], connected: bool, flowing: bool) -> str:
    """Return why it is not safe to trade; nothing if it is."""
    if not connections:
        return "Nothing is subscribed to"
    if not connected:
        return "No connection to the broker"
    if not flowing:
        return f"No data for {FRESH_S:g} s"
    silent = sum(one["subscribed_tokens"] for one in connections if not one["connected"])
    return f"No connection for {silent} of the instruments" if silent else ""


def _sum(totals: Iterable[Document], name: str) -> int:
    return sum(int(row[name]) for row in totals)
