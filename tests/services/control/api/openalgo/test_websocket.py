"""`/api/websocket`: a page's address and key, and what dashboards show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.services.control.api.openalgo.house import House
from tests.services.control.api.served import Reply
from tests.services.control.api.test_entrance import FOREIGN, enter

INFY = {"symbol": "INFY", "exchange": "NSE"}
QUESTIONS = (
    "config", "apikey", "status", "subscriptions", "market-data", "health", "trade-safe",
    "metrics",
)  # fmt: skip
CHANGES = ("subscribe", "unsubscribe", "unsubscribe-all")
HEALTH = {
    "status": str, "healthy": bool, "connected": bool, "authenticated": bool,
    "data_flow_healthy": bool, "last_data_age_seconds": float | None, "cache_size": int,
    "total_subscribers": int, "critical_subscribers": int, "total_updates_processed": int,
    "validation_errors": int, "stale_data_events": int, "reconnect_count": int,
    "uptime_seconds": float, "trade_management_safe": bool, "trade_management_reason": str,
    "message": str,
}  # fmt: skip


@pytest.fixture
def cookie(house: House) -> dict[str, str]:
    """What a browser sends that came in just now."""
    return enter(house)


def get(house: House, name: str, headers: dict[str, str]) -> Reply:
    return house.get(f"/api/websocket/{name}", token=None, headers=headers)


def post(house: House, name: str, body: Any, headers: dict[str, str]) -> Reply:
    token = house.get("/auth/csrf-token", token=None, headers=headers).body["csrf_token"]
    given = {**headers, "X-CSRFToken": token}
    return house.post(f"/api/websocket/{name}", body, token=None, headers=given)


@pytest.mark.parametrize("name", QUESTIONS)
def test_without_a_session_it_is_401_in_the_shape_that_pages_know(house: House, name: str) -> None:
    for headers in ({}, {"Cookie": "session-test=wrong"}, {"X-API-KEY": house.key}):
        reply = get(house, name, headers)
        assert reply.status == 401 and reply.body["status"] == "error"
        assert isinstance(reply.body["message"], str)


def test_a_page_of_another_gets_no_key(house: House, cookie: dict[str, str]) -> None:
    for headers in FOREIGN:
        assert get(house, "apikey", {**cookie, **headers}).status == 401


@pytest.mark.parametrize("name", CHANGES)
def test_changes_take_the_csrf_token(house: House, cookie: dict[str, str], name: str) -> None:
    body = {"symbols": [INFY]}
    reply = house.post(f"/api/websocket/{name}", body, token=None, headers=cookie)
    assert reply.status == 403 and reply.body["status"] == "error"


def test_the_conversation_of_a_page_that_falls_back_to_http(house: House) -> None:
    """csrf token, config, apikey; and, when the socket fails three times, multiquotes."""
    cookie = enter(house)
    csrf = house.get("/auth/csrf-token", token=None, headers=cookie).body
    assert list(csrf) == ["csrf_token"]
    config = get(house, "config", cookie).body
    assert config == {
        "status": "success", "websocket_url": "ws://127.0.0.1:8765", "is_secure": False,
        "original_url": "ws://127.0.0.1:8765",
    }  # fmt: skip
    key = get(house, "apikey", cookie).body
    assert list(key) == ["status", "api_key"] and key["status"] == "success"
    headers = {**cookie, "X-CSRFToken": csrf["csrf_token"]}
    body = {"apikey": key["api_key"], "symbols": [INFY]}
    found = house.post("/api/v1/multiquotes", body, token=None, headers=headers).body
    assert found["status"] == "success" and found["results"][0]["data"]["ltp"] == 1400.55


def test_a_session_has_one_key_and_it_is_listed(house: House, cookie: dict[str, str]) -> None:
    first = get(house, "apikey", cookie).body["api_key"]
    assert get(house, "apikey", cookie).body["api_key"] == first
    other = get(house, "apikey", enter(house)).body["api_key"]
    assert other != first
    listed = {info.key_id: info for info in house.store.list()}
    info = listed[first.partition(".")[0]]
    assert info.account == "a" and info.name.startswith("page.")
    assert info.expires_s is not None and info.expires_s - info.created_s == 12 * 3600


def test_a_key_that_was_revoked_stays_so(house: House, cookie: dict[str, str]) -> None:
    key = get(house, "apikey", cookie).body["api_key"]
    assert house.store.revoke(key.partition(".")[0])
    for _ in range(2):
        reply = get(house, "apikey", cookie)
        assert reply.status == 404 and "revoked" in reply.body["message"]
    assert house.ask("ping", key=key).status == 403


def test_leaving_revokes_the_key(house: House, cookie: dict[str, str]) -> None:
    key = get(house, "apikey", cookie).body["api_key"]
    assert house.ask("ping", key=key).status == 200
    token = house.get("/auth/csrf-token", token=None, headers=cookie).body["csrf_token"]
    headers = {**cookie, "X-CSRFToken": token}
    assert house.call("DELETE", "/auth/session", token=None, headers=headers).status == 200
    assert house.ask("ping", key=key).status == 403


def test_the_token_of_the_instance_is_no_page(house: House) -> None:
    assert house.get("/api/websocket/apikey").status == 401
    assert house.get("/api/websocket/config").status == 200


def test_the_address_is_that_of_who_asks(house: House, cookie: dict[str, str]) -> None:
    headers = {**cookie, "Host": f"localhost:{house.port}"}
    assert get(house, "config", headers).body["websocket_url"] == "ws://localhost:8765"
    headers |= {"X-Forwarded-Proto": "https", "Host": "10.0.0.1"}
    found = get(house, "config", headers).body
    assert (found["websocket_url"], found["is_secure"]) == ("wss://10.0.0.1/ws", True)
    assert found["original_url"] == "ws://127.0.0.1:8765"


def test_health_has_every_field_of_its_type(house: House, cookie: dict[str, str]) -> None:
    found = get(house, "health", cookie).body
    assert list(found) == list(HEALTH)
    for name, kind in HEALTH.items():
        assert isinstance(found[name], kind), (name, found[name])
    assert not found["trade_management_safe"]  # nothing is connected here
    safe = get(house, "trade-safe", cookie).body
    assert safe["trade_management_reason"] == found["trade_management_reason"]
    status = get(house, "status", cookie).body
    assert (status["connected"], status["broker"]) == (False, "zerodha")
    assert get(house, "metrics", cookie).body["status"] == "success"


def test_market_data_is_what_is_streamed(house: House, cookie: dict[str, str]) -> None:
    found = get(house, "market-data?symbol=INFY&exchange=NSE", cookie).body["data"]
    assert (found["symbol"], found["ltp"], found["timestamp"]) == (
        "INFY", 1400.55, 1_761_157_800_001,
    )  # fmt: skip
    assert get(house, "market-data?symbol=NOBODY&exchange=NSE", cookie).status == 404
    assert get(house, "market-data?symbol=METAL&exchange=BSE_INDEX", cookie).status == 404
    for wrong in ("", "?symbol=INFY", "?symbol=INFY&exchange=nse"):
        reply = get(house, f"market-data{wrong}", cookie)
        assert reply.status == 400 and reply.body["status"] == "error"


def test_demand_is_taken_shown_and_taken_back(house: House, cookie: dict[str, str]) -> None:
    item = {"symbol": "INFY", "exchange": "BSE"}
    stranger = {"symbol": "NOBODY", "exchange": "NSE"}
    done = post(house, "subscribe", {"symbols": [item, stranger], "mode": "LTP"}, cookie).body
    assert done["status"] == "partial" and done["successful"] == [item]
    assert [{k: row[k] for k in item} for row in done["failed"]] == [stranger]
    shown = get(house, "subscriptions", cookie).body
    assert {**item, "mode": "LTP"} in shown["subscriptions"]
    assert shown["count"] == len(shown["subscriptions"])
    assert post(house, "unsubscribe", {"symbols": [item]}, cookie).body["status"] == "success"
    assert item not in [
        {k: row[k] for k in item}
        for row in get(house, "subscriptions", cookie).body["subscriptions"]
    ]
    post(house, "subscribe", {"symbols": [item]}, cookie)
    assert post(house, "unsubscribe-all", None, cookie).status == 200
    assert "websocket-api" not in {row["name"] for row in house.get("/clients").body}


@pytest.mark.parametrize("body", [{}, {"symbols": []}, {"symbols": [INFY], "mode": "ALL"}, [], 1])
def test_nonsense_is_400(house: House, cookie: dict[str, str], body: Any) -> None:
    reply = post(house, "subscribe", body, cookie)
    assert reply.status == 400 and reply.body["status"] == "error"


def test_no_key_and_no_cookie_is_in_any_answer_but_its_own(
    house: House, cookie: dict[str, str]
) -> None:
    key = get(house, "apikey", cookie).body["api_key"]
    secrets = {key, cookie["Cookie"].partition("=")[2], house.token}
    for name in QUESTIONS:
        if name == "apikey":
            continue
        text = json.dumps(get(house, name, cookie))
        assert not any(secret in text for secret in secrets)
