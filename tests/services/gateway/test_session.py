"""A session: keys, instruments, what waits and what ends it."""

from __future__ import annotations

from tests.services.gateway.desk import Client


def test_authenticate_then_subscribe() -> None:
    client = Client()
    client.authenticate()
    (answer,) = client.send(
        {"action": "subscribe", "symbol": "INFY", "exchange": "NSE", "mode": 1, "request_id": "r"}
    )
    assert answer["subscriptions"][0]["mode"] == "LTP"
    assert answer["request_id"] == "r"
    assert client.desk.calls == [("subscribe", "INFY", 1), ("acknowledged", [("INFY", 1)])]
    client.session.ended()
    assert client.desk.calls[-1] == ("unsubscribe", "INFY", None)


def test_nobody_in_time_is_closed() -> None:
    client = Client()
    assert client.after(14.9) == [] and client.closed == []
    client.after(0.1)
    assert client.closed == [(4401, "auth timeout")]
