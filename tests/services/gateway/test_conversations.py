"""What the real clients send, in their own spelling and order, and what each needs to read.

Wire facts: the clients' own sources (PyPI `openalgo` 1.0 and 2.0, npm `openalgo-charts`, the Excel
add-in, the AmiBroker plugin, OpenAlgo.NET, the Rust and Java SDKs, OpenAlgo's own pages).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.services.gateway.desk import KEY, START_NS, Client

RELIANCE = {"symbol": "RELIANCE", "exchange": "NSE"}
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}


def kinds(answers: list[Any]) -> list[str]:
    return [each.get("type") or each["code"] for each in answers]


def connected(**authenticate: Any) -> Client:
    client = Client()
    (answer,) = client.send(authenticate or {"action": "authenticate", "api_key": KEY})
    assert (answer["type"], answer["status"]) == ("auth", "success")
    return client


def test_pypi_1_sends_a_message_per_symbol_and_mode() -> None:
    client = connected()
    for mode, label in ((1, "LTP"), (2, "Quote"), (3, "Depth")):
        for item in (RELIANCE, NIFTY):
            client.after(0.1)
            (answer,) = client.send({"action": "subscribe", **item, "mode": mode, "depth": 5})
            (found,) = answer["subscriptions"]
            assert (found["status"], found["mode"], found["depth"]) == ("success", label, 5)
    for mode in (1, 2, 3):
        (answer,) = client.send({"action": "unsubscribe", **RELIANCE, "mode": mode})
        assert answer["status"] == "success" and answer["failed"] == []
    assert client.session.instruments == 1


def test_pypi_1_waits_five_seconds_after_a_wrong_key_and_leaves() -> None:
    client = Client()
    (answer,) = client.send({"action": "authenticate", "api_key": "bad"})
    assert "type" not in answer and answer["status"] == "error"
    client.after(5.1)
    assert client.closed == []


def test_pypi_2_subscribes_in_bulk_and_gives_up_by_item() -> None:
    client = connected()
    items = [RELIANCE, NIFTY]
    (answer,) = client.send({"action": "subscribe", "symbols": items, "mode": 1, "depth": 5})
    assert [item["mode"] for item in answer["subscriptions"]] == ["LTP", "LTP"]
    client.send({"action": "subscribe", "symbols": items, "mode": 3, "depth": 5})
    (answer,) = client.send({"action": "subscribe_orders"})
    assert (answer["type"], answer["status"]) == ("subscribe_orders", "success")
    gone = [{**item, "mode": 1} for item in items]
    (answer,) = client.send({"action": "unsubscribe", "symbols": gone})
    assert len(answer["successful"]) == 2
    assert ("unsubscribe", "RELIANCE", 1) in client.desk.calls
    assert client.session.instruments == 2


def test_pypi_2_replays_three_thousand_symbols_in_one_message() -> None:
    client = connected()
    items = [{"symbol": f"NIFTY28MAR24{20000 + i}CE", "exchange": "NFO"} for i in range(3000)]
    message = {"action": "subscribe", "symbols": items, "mode": 1, "depth": 5}
    assert len(json.dumps(message)) > 160_000
    (answer,) = client.send(message)
    assert answer["status"] == "partial" and len(answer["subscriptions"]) == 3000
    assert client.closed == []


def test_charts_do_not_wait_for_the_answer_to_their_key() -> None:
    client = Client()
    client.desk.answers_at_once = False
    client.send({"action": "authenticate", "api_key": KEY})
    client.send({"action": "subscribe", "symbols": [RELIANCE], "mode": "Quote"})
    client.send({"action": "subscribe", **RELIANCE, "mode": "LTP"})
    client.send({"action": "subscribe", **RELIANCE, "mode": "Depth", "depth_level": 5})
    client.send({"action": "subscribe_orders"})
    client.send({"action": "pong"})
    assert client.raw == []
    client.desk.answer_keys(client.now_ns)
    answers = [json.loads(raw) for raw in client.raw]
    assert kinds(answers) == ["auth", "subscribe", "subscribe", "subscribe", "subscribe_orders"]
    assert [a["status"] for a in answers] == ["success"] * 5


def test_excel_believes_in_success_and_must_not_be_refused() -> None:
    """Its "legacy mode" sends on after half a second, whatever has come back by then."""
    client = Client()
    client.desk.answers_at_once = False
    client.send({"action": "authenticate", "api_key": KEY})
    client.after(0.5)
    for mode in (1, 2):
        client.send({"action": "subscribe", **RELIANCE, "mode": mode})
    client.send({"action": "subscribe", **RELIANCE, "mode": 3, "depth_level": 5})
    for action in ("get_broker_info", "get_supported_brokers", "ping", "subscribe_orders"):
        client.send({"action": action})
    client.now_ns += 900_000_000
    client.desk.answer_keys(client.now_ns)
    answers = [json.loads(raw) for raw in client.raw]
    assert kinds(answers) == [
        "auth", "subscribe", "subscribe", "subscribe", "broker_info", "supported_brokers", "pong",
        "subscribe_orders",
    ]  # fmt: skip
    assert all(answer["status"] == "success" for answer in answers)


def test_excel_tells_errors_by_their_missing_type() -> None:
    client = connected()
    client.send({"action": "subscribe", **RELIANCE, "mode": 9})
    client.send({"action": "nosuch"})
    client.send(b"{")
    for raw in client.raw[1:]:
        answer = json.loads(raw)
        assert answer.get("type") is None and answer["status"] == "error"


def test_amibroker_reads_the_answer_to_its_key_with_one_small_buffer() -> None:
    client = Client()
    long_name = client.desk.keys[KEY]._replace(name="n" * 64)
    client.desk.keys[KEY] = long_name
    assert client.raw == []  # no greeting: it would take that for the answer
    client.send(b'{"action":"authenticate","api_key":"%b"}' % KEY.encode())
    (answer,) = client.raw
    assert len(answer) < 1024 and b"success" in answer
    client.send(b'{"action":"subscribe","symbol":"RELIANCE","exchange":"NSE","mode":2}')
    client.send(b'{"action":"unsubscribe","symbol":"RELIANCE","exchange":"NSE","mode":2}')
    assert kinds([json.loads(raw) for raw in client.raw[1:]]) == ["subscribe", "unsubscribe"]


def test_amibroker_comes_back_every_minute_and_finds_all_as_before() -> None:
    """Its broken ping ends its connection; nothing of the last one stands in the next one's way."""
    desk = Client().desk
    for _ in range(5):
        client = Client(desk)
        client.authenticate()
        (answer,) = client.send({"action": "subscribe", **RELIANCE, "mode": 2})
        assert answer["status"] == "success"
        client.session.ended()
    changes = [call[0] for call in desk.calls if call[0] != "acknowledged"]
    assert changes == ["subscribe", "unsubscribe"] * 5


def test_dotnet_subscribes_one_by_one_and_replays_after_a_reconnect() -> None:
    client = connected()
    for mode in (1, 2, 3):
        (answer,) = client.send({"action": "subscribe", **RELIANCE, "mode": mode, "depth": 5})
        assert answer["type"] == "subscribe" and answer["subscriptions"][0]["depth"] == 5
    client.session.ended()
    again = Client(client.desk)
    again.authenticate()
    for mode in (1, 2, 3):
        assert (
            again.send({"action": "subscribe", **RELIANCE, "mode": mode})[0]["status"] == "success"
        )
    assert again.session.instruments == 1


@pytest.mark.parametrize("mode", ["ltp", "quote", "depth"])
def test_rust_gives_up_with_a_mode_for_all_symbols(mode: str) -> None:
    client = connected()
    items = [RELIANCE, NIFTY]
    client.send({"action": "subscribe", "symbols": items, "mode": mode})
    client.send({"action": "unsubscribe", "symbols": items, "mode": mode})
    assert client.session.instruments == 0


def test_openalgos_pages_give_up_without_any_mode() -> None:
    client = connected()
    for mode in ("LTP", "Quote", "Depth"):
        client.send({"action": "subscribe", "symbols": [RELIANCE], "mode": mode})
    client.send({"action": "unsubscribe", "symbols": [RELIANCE]})
    assert client.session.instruments == 0


def test_openalgos_own_service_finds_its_answers_by_request_id() -> None:
    client = connected()
    message = {"symbols": [RELIANCE], "mode": "Quote", "request_id": "6f1c-uuid"}
    for action in ("subscribe", "unsubscribe"):
        (answer,) = client.send({"action": action, **message})
        assert answer["request_id"] == "6f1c-uuid"


def test_phones_answer_pings_that_nobody_sent() -> None:
    client = connected()
    for _ in range(100):
        assert client.send({"type": "pong"}) == []
        client.after(25)
    assert client.closed == [] and client.session.errors == 0


def test_a_binary_frame_is_a_message_too() -> None:
    client = Client()
    client.session.receive(bytes(bytearray(b'{"action":"ping"}')), START_NS)
    assert json.loads(client.raw[0])["type"] == "pong"
