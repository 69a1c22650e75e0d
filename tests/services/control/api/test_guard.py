"""Who is let in, and how often."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.config import GatewayConfig
from pipeline.core.secrets import Secret
from pipeline.services.control.api import rates as rates_module
from pipeline.services.control.api.guard import Guard, Message, Receive, Scope, Send
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.rates import Rates
from pipeline.services.control.api.session import Sessions

TOKEN = "a-token-for-this-test"


def _guard(changes_per_s: float = 10.0, *proxies: str) -> Guard:
    sessions = Sessions("test", Path("/dev/null/none"))
    rates = Rates(changes_per_s, proxies)
    return Guard(Secret(TOKEN), rates, sessions=sessions, origins=Origins([]))


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _denying(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 403, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _ask(
    guard: Guard, method: str = "GET", path: str = "/x", peer: str = "127.0.0.1", **headers: str
) -> Message:
    """Return the first message of an answer."""
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "client": (peer, 4711),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]


def test_nobody_is_let_in_before_and_after() -> None:
    guard = _guard()
    key = f"Bearer {TOKEN}"
    assert _ask(guard, authorization=key)["status"] == 503
    guard.open(_app)
    assert _ask(guard, authorization=key)["status"] == 204
    guard.close("over")
    found = _ask(guard, authorization=key)
    assert found["status"] == 503 and (b"retry-after", b"1") in found["headers"]


def test_only_the_whole_token_is_the_token() -> None:
    guard = _guard()
    guard.open(_app)
    for wrong in ("", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"bearer {TOKEN}", "é"):
        assert _ask(guard, authorization=wrong)["status"] == 401
    assert _ask(guard)["status"] == 401
    assert _ask(guard, path="/health")["status"] == 204


def test_changes_are_counted_and_questions_are_not() -> None:
    guard = _guard(0.01)
    guard.open(_app)
    key = f"Bearer {TOKEN}"
    codes = [_ask(guard, "POST", authorization=key)["status"] for _ in range(3)]
    assert codes == [204, 429, 429]
    assert all(_ask(guard, authorization=key)["status"] == 204 for _ in range(20))
    assert _ask(guard, "DELETE", authorization="Bearer no")["status"] == 401


def test_a_long_body_is_refused_by_its_header() -> None:
    guard = _guard()
    guard.open(_app)
    key = f"Bearer {TOKEN}"
    assert _ask(guard, "POST", authorization=key, content_length="9" * 5000)["status"] == 413
    assert _ask(guard, "POST", authorization=key, content_length="x")["status"] == 204


def test_questions_with_a_key_are_counted_whatever_their_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates_module, "KEYED_PER_S", 2.0)
    guard = _guard()
    guard.open(_app)
    codes = [_ask(guard, method, "/api/v1/x")["status"] for method in ("GET", "POST", "GET")]
    assert codes == [204, 204, 429]


QUESTION = ("POST", "/api/v1/ping")
ENTRY = ("POST", "/auth/session")
BAN = GatewayConfig().key_failures_ban


def _codes(guard: Guard, what: tuple[str, str], peer: str, count: int, **headers: str) -> set[int]:
    """Return what so many requests of an address were answered."""
    own = {"host": "localhost", **headers}
    return {_ask(guard, *what, peer, **own)["status"] for _ in range(count)}


@pytest.mark.parametrize("what", [QUESTION, ENTRY])
def test_nobody_uses_up_what_another_address_may_ask(
    what: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates_module, "KEYED_PER_S", 0.01)
    monkeypatch.setattr(rates_module, "ENTRIES_PER_S", 0.01)
    guard = _guard()
    guard.open(_app)
    for first, second in (
        ("203.0.113.7", "203.0.113.8"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("198.51.100.1", "127.0.0.1"),
    ):
        assert _codes(guard, what, first, 1) == {204}
        assert _codes(guard, what, first, 5) == {429}
        assert _codes(guard, what, second, 1) == {204}
    assert _codes(guard, what, "2001:db8:1:2:ffff::9", 1) == {429}, "its network asked before"
    assert _codes(guard, what, "127.9.9.9", 1) == {429}, "this machine has one for all its own"


@pytest.mark.parametrize("what", [QUESTION, ENTRY])
def test_wrong_keys_shut_out_the_address_that_they_came_from_and_no_other(
    what: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates_module, "ENTRIES_PER_S", 10_000.0)
    guard = _guard()
    guard.open(_denying)
    assert _codes(guard, what, "203.0.113.7", BAN) == {403}
    assert _codes(guard, what, "127.0.0.1", 2 * BAN) == {403}
    found = _ask(guard, *what, "203.0.113.7", host="localhost")
    assert found["status"] == 429 and 0 < int(dict(found["headers"])[b"retry-after"]) <= 900
    guard.open(_app)
    assert _codes(guard, what, "203.0.113.7", 1) == {429}
    assert _codes(guard, what, "203.0.113.7", 1, authorization=f"Bearer {TOKEN}") == {204}
    assert _codes(guard, what, "203.0.113.8", 1) == _codes(guard, what, "127.0.0.1", 1) == {204}
    assert _ask(guard, "GET", "/health", "203.0.113.7")["status"] == 204


def test_what_a_proxy_says_counts_and_what_a_client_claims_does_not() -> None:
    guard = _guard(10.0, "10.0.0.0/8")
    guard.open(_denying)
    for number in range(BAN):  # each time another claim, below the proxy's word or without a proxy
        claim = f"198.51.100.{number}"
        assert (
            _ask(guard, *QUESTION, "10.0.0.1", x_forwarded_for=f"{claim}, 203.0.113.7")["status"]
            == 403
        )
        assert _ask(guard, *QUESTION, "192.0.2.1", x_forwarded_for=claim)["status"] == 403
    guard.open(_app)
    forged = {"x_forwarded_for": "127.0.0.1"}
    assert _codes(guard, QUESTION, "192.0.2.1", 1, **forged) == {429}
    assert _codes(guard, QUESTION, "203.0.113.7", 1) == {429}
    behind = {"x_forwarded_for": "127.0.0.1, 203.0.113.7"}
    assert _codes(guard, QUESTION, "10.0.0.1", 1, **behind) == {429}
    for free in ("198.51.100.3", "203.0.113.8"):
        assert _codes(guard, QUESTION, "10.0.0.1", 1, x_forwarded_for=free) == {204}
    assert _codes(guard, QUESTION, "10.0.0.1", 1) == {204}


def test_headers_that_a_proxy_adds_one_by_one_are_read_as_one() -> None:
    guard = _guard(10.0, "10.0.0.0/8")
    scope = {"client": ("10.0.0.1", 1), "headers": [
        (b"x-forwarded-for", b"127.0.0.1"), (b"x-forwarded-for", b"203.0.113.7"),
    ]}  # fmt: skip
    assert guard._address(scope) == "203.0.113.7"
