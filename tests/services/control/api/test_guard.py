"""Who is let in, and how often."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.secrets import Secret
from pipeline.services.control.api import guard as guard_module
from pipeline.services.control.api.guard import Allowance, Guard, Message, Receive, Scope, Send
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.session import Sessions

TOKEN = "a-token-for-this-test"


def _guard(changes_per_s: float = 10.0) -> Guard:
    sessions = Sessions("test", Path("/dev/null/none"))
    return Guard(Secret(TOKEN), changes_per_s, sessions=sessions, origins=Origins([]))


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _ask(guard: Guard, method: str = "GET", path: str = "/x", **headers: str) -> Message:
    """Return the first message of an answer."""
    sent: list[Message] = []
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path,
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


def test_an_allowance_comes_back_with_time_and_no_more_than_once() -> None:
    allowance = Allowance(2.0)
    now = 100 * NS_PER_S
    assert [allowance.take(now) for _ in range(2)] == [0.0, 0.0]
    assert allowance.take(now) == 0.5
    assert allowance.take(now + NS_PER_S // 2) == 0.0
    now += 3600 * NS_PER_S
    assert [allowance.take(now) > 0 for _ in range(3)] == [False, False, True]


def test_a_long_body_is_refused_by_its_header() -> None:
    guard = _guard()
    guard.open(_app)
    key = f"Bearer {TOKEN}"
    assert _ask(guard, "POST", authorization=key, content_length="9" * 5000)["status"] == 413
    assert _ask(guard, "POST", authorization=key, content_length="x")["status"] == 204


def test_questions_with_a_key_are_counted_whatever_their_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_module, "KEYED_PER_S", 2.0)
    guard = _guard()
    guard.open(_app)
    codes = [_ask(guard, method, "/api/v1/x")["status"] for method in ("GET", "POST", "GET")]
    assert codes == [204, 204, 429]
