"""When prices are fresh enough to trade on."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.services.control.api.openalgo.state import health_document

TOTALS = {"ticks": 9, "drops": 2, "gaps": 1}


def _stats(*connections: dict[str, Any]) -> dict[str, Any]:
    account = {"connections": list(connections), "totals": TOTALS}
    return {"accounts": {"a": account, "b": {"connections": [], "totals": TOTALS}},
            "pool": {"confirmed": 4}}  # fmt: skip


def _connection(age_ms: float | None, *, connected: bool = True, **more: Any) -> dict[str, Any]:
    known = {"connected": connected, "last_data_age_ms": age_ms, "reconnects": 3}
    return {**known, "subscribed_tokens": 40, **more}


@pytest.mark.parametrize(
    ("connections", "status", "reason"),
    [
        ([], "disconnected", "Nothing is subscribed to"),
        ([_connection(1.0, connected=False)], "disconnected", "No connection to the broker"),
        ([_connection(9000.0)], "connected", "No data for 5 s"),
        ([_connection(None)], "connected", "No data for 5 s"),
        ([_connection(9000.0), _connection(20.0)], "healthy", "Data is fresh"),
    ],
)
def test_trading_is_safe_while_data_comes(
    connections: list[dict[str, Any]], status: str, reason: str
) -> None:
    found = health_document(_stats(*connections), 5, 1.25)
    assert (found["status"], found["trade_management_reason"]) == (status, reason)
    assert found["trade_management_safe"] is found["healthy"] is (status == "healthy")


def test_trading_is_not_safe_while_a_connection_with_instruments_is_away() -> None:
    flows = _connection(20.0)
    found = health_document(_stats(flows, _connection(20.0, connected=False)), 5, 1.25)
    assert found["healthy"] and not found["trade_management_safe"]
    reason = "No connection for 40 of the instruments"
    assert found["trade_management_reason"] == found["message"] == reason
    away = _connection(20.0, connected=False, subscribed_tokens=0)
    assert health_document(_stats(flows, away), 5, 1.25)["trade_management_safe"]


def test_counts_are_those_of_all_accounts() -> None:
    connections = _connection(20.0), _connection(None, state="AUTH_EXPIRED")
    found = health_document(_stats(*connections), 5, 1.25)
    names = ("total_updates_processed", "validation_errors", "stale_data_events")
    assert [found[name] for name in names] == [18, 4, 2]
    assert found["reconnect_count"] == 6 and found["last_data_age_seconds"] == 0.02
    assert found["total_subscribers"] == 5 and not found["authenticated"]
