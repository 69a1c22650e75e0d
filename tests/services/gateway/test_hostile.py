"""Whatever comes in: nothing raises, every answer is a bounded message of ours, no key gets out."""

from __future__ import annotations

import builtins
import json
import logging
import random
import secrets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.services.gateway.actions import ACTIONS
from pipeline.services.gateway.guard import Guard
from pipeline.services.gateway.limits import Limits
from tests.services.gateway.desk import KEY, Client

NAMES = ["authenticate", "auth", *ACTIONS, "nosuch"]
FIELDS = [
    "action", "type", "api_key", "apikey", "symbol", "exchange", "symbols", "instruments", "mode",
    "depth", "depth_level", "request_id", "timestamp", "_pingId", "unsubscribe_all",
]  # fmt: skip
#: What an exception's text would have in it.
TRACES = [
    "Traceback", "object has no attribute", "not subscriptable", "unhashable", "codec can't",
    "recursion", "malformed", "truncated", "File \"", "<class", "NoneType", "byte 0",
    *(name for name in dir(builtins) if name.endswith("Error")),
]  # fmt: skip
CODES = {
    "AUTHENTICATION_ERROR", "NOT_AUTHENTICATED", "INVALID_JSON", "INVALID_ACTION",
    "INVALID_PARAMETERS", "INVALID_MODE", "BROKER_ERROR",
}  # fmt: skip
UNLIMITED = Limits(
    errors_per_minute=10**9, control_messages_per_s=1e6, control_messages_burst=10**6
)

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["NSE", "INFY", "TCS", "NSE:INFY", "LTP", "1", 1, 2, 3, KEY]),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=10,
)
requests = st.builds(
    lambda action, rest: {**rest, "action": action},
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=6),
)
payloads = st.one_of(
    st.binary(max_size=200),
    values.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value).encode()),
    requests.map(lambda value: json.dumps(value).encode("utf-16")),
)


def checked(client: Client) -> None:
    for raw in client.raw:
        answer = json.loads(raw, parse_constant=pytest.fail)
        assert answer["status"] in ("success", "partial", "error")
        assert ("type" in answer) != ("code" in answer)
        assert answer.get("code", "INVALID_JSON") in CODES


def play(sent: list[bytes], *, authenticated: bool) -> None:
    client = Client(limits=UNLIMITED)
    if authenticated:
        client.authenticate()
    for payload in sent:
        client.send(payload)
        client.after(0.01)
    checked(client)
    client.session.ended()
    known = {(listed.symbol, mode) for listed in client.desk.listed.values() for mode in (1, 2, 3)}
    assert {call[1:] for call in client.desk.calls if call[0] == "subscribe"} <= known
    assert client.session.instruments == 0


@settings(max_examples=80, deadline=None)
@given(st.lists(payloads, max_size=8), st.booleans())
def test_anything_at_all_is_answered_or_ignored(sent: list[bytes], authenticated: bool) -> None:
    play(sent, authenticated=authenticated)


@pytest.mark.full
@pytest.mark.timeout(600)
@settings(max_examples=5000, deadline=None)
@given(st.lists(payloads, max_size=12), st.booleans())
def test_very_much_of_anything_is_answered_or_ignored(
    sent: list[bytes], authenticated: bool
) -> None:
    play(sent, authenticated=authenticated)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_answer_to_random_bytes_has_an_exceptions_text(payload: bytes) -> None:
    client = Client()
    client.send(payload)
    for raw in client.raw:
        assert not any(trace in raw.decode() for trace in TRACES)


HOSTILE: list[bytes] = [
    b"", b" ", b"\x00", b"\xff\xfe", b"{", b'{"action":', b"nul", b'{"action":NaN}', b"NaN",
    b'{"action":"ping","timestamp":Infinity}', b'{"action":"ping","timestamp":1e999}',
    b"[" * 100_000, b'{"a":' * 100_000, b'{"action":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"action":"\\ud800"}', b'{"action":"\xff"}', b'{"action":"\\u0000"}', b"\xef\xbb\xbf{}",
    b'{"action":"ping","action":"subscribe"}', b"9" * 5000, b'{"action":' + b"9" * 4400 + b"}",
    b'{"action":"ping","request_id":' + b"9" * 4000 + b"}", b'{"action":{"action":"ping"}}',
    b'{"action":"subscribe","symbols":{"a":1}}', b'{"action":"subscribe","symbols":[[[]]]}',
    b'{"action":"subscribe","symbols":[null]}',
    b'{"action":"subscribe","symbol":{"a":[]},"exchange":1}',
    b'{"action":"subscribe","symbols":"NSE:INFY","mode":{}}',
    b'{"action":"unsubscribe","symbols":true}',
    b'{"action":"authenticate","api_key":5}', b'{"action":"authenticate","api_key":["a"]}',
    b'{"action":"authenticate","api_key":"' + b"k" * 3000 + b'"}',
]  # fmt: skip


@pytest.mark.parametrize("payload", HOSTILE, ids=lambda payload: repr(payload[:30]))
@pytest.mark.parametrize("authenticated", [False, True])
def test_known_trouble(payload: bytes, authenticated: bool) -> None:
    client = Client()
    if authenticated:
        client.authenticate()
    client.send(payload)
    checked(client)
    for raw in client.raw:
        assert len(raw) < 1024
        assert not any(trace in raw.decode() for trace in TRACES)
    if not client.closed:
        assert client.send({"action": "ping"})[-1]["type"] == "pong"


def test_an_answer_is_never_much_longer_than_what_it_answers() -> None:
    client = Client()
    client.authenticate()
    for item in ('"A:B"', "5", "[]", '{"symbol":"A","exchange":"B"}', '"' + "x" * 90 + '"'):
        payload = b'{"action":"subscribe","symbols":[%b]}' % b",".join([item.encode()] * 9_999)
        client.now_ns += 10**12
        before = len(client.raw)
        client.send(payload)
        assert sum(map(len, client.raw[before:])) < 2_500_000


def test_forged_keys_and_ids_let_nobody_in() -> None:
    """500 of them, near and far from a good key; and no field but the key says who one is."""
    chance = random.Random(11)
    limits = Limits(control_messages_per_s=1e6)
    key_id, secret = KEY.split(".")
    client = Client(limits=limits)
    for attempt in range(500):
        forged = [
            f"{key_id}.{secrets.token_hex(32)}",
            f"{secrets.token_hex(6)}.{secret}",
            f"{key_id}.{secret[:-1]}{chance.choice('0123456789abcdef'.replace(secret[-1], ''))}",
            f"{key_id}.",
            key_id,
            f"{KEY}\x00",
            f" {KEY}",
            KEY.upper(),
            secrets.token_hex(32),
        ][attempt % 9]
        claim = {"user_id": "alice", "owner": "default", "account": "main", "key_id": key_id}
        (answer,) = client.send({"action": "authenticate", "api_key": forged, **claim})
        assert answer == {
            "status": "error", "code": "AUTHENTICATION_ERROR", "message": "Invalid API key",
        }, forged  # fmt: skip
        (answer,) = client.send(
            {"action": "subscribe", "symbol": "INFY", "exchange": "NSE", **claim}
        )
        assert answer["code"] == "NOT_AUTHENTICATED"
    assert client.session.principal is None and client.desk.calls == []


def test_a_client_cannot_say_whose_data_it_wants() -> None:
    seen: list[str] = []
    client = Client()
    found = client.desk.find

    def find(owner: str, exchange: str, symbol: str) -> Any:
        seen.append(owner)
        return found(owner, exchange, symbol)

    client.desk.find = find  # type: ignore[method-assign]
    client.authenticate()
    for field in ("user_id", "owner", "account", "broker", "client_id", "apikey", "api_key"):
        client.send({"action": "subscribe", "symbols": ["NSE:INFY"], "mode": 1, field: "bob"})
        client.send({"action": "unsubscribe", "symbols": ["NSE:INFY"], field: "bob"})
    assert set(seen) == {"default"}


def test_a_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """A canary: in no log line, no `repr`, no answer but to nobody, right or wrong."""
    caplog.set_level(logging.DEBUG)
    guard = Guard(Limits(wrong_keys_until_delay=2, wrong_keys_until_ban=6))
    client = Client(guard=guard, address="203.0.113.7")
    wrong = "cAnArY0cAnArY.0of0today"
    for _ in range(6):
        client.send({"action": "authenticate", "api_key": wrong, "request_id": "r"})
        client.send({"action": wrong[:5]})
        client.after(1.0)
    other = Client()
    other.send({"action": "authenticate", "api_key": KEY})
    other.send({"action": "auth", "apikey": wrong})
    shown = [repr(part) for part in (client.session, other.session, guard, client.closed)]
    shown += [repr(other.session.principal), caplog.text]
    shown += [raw.decode() for raw in client.raw + other.raw]
    secret = KEY.partition(".")[2]
    for text in shown:
        assert wrong not in text and secret not in text
    assert client.closed == [(1008, "too many wrong keys")]
