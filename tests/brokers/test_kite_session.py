"""What is said on a Kite connection: opening, subscriptions, texts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.brokers.contract import HttpMeaning, MessageClass, TextKind
from pipeline.brokers.kite.limits import LIMITS
from pipeline.brokers.kite.session import ENDPOINT, KiteSession
from pipeline.core.enums import Mode

SESSION = KiteSession()
CANARY = "canary+token/with=odd&signs %"


def sent(wanted: dict[int, Mode], on_wire: dict[int, Mode]) -> list[Any]:
    return [json.loads(c.payload) for c in SESSION.commands(wanted=wanted, on_wire=on_wire)]


class TestHandshake:
    def test_key_and_token_are_percent_encoded(self) -> None:
        opening = SESSION.handshake(ENDPOINT, api_key="k y", access_token="a&b=c/d")
        assert opening.url == "wss://ws.kite.trade/?api_key=k%20y&access_token=a%26b%3Dc%2Fd"
        assert opening.headers == (("X-Kite-Version", "3"),)
        assert opening.redirect_limit == 0

    def test_endpoint_keeps_its_port_and_path(self) -> None:
        opening = SESSION.handshake("ws://127.0.0.1:9000/feed", api_key="k", access_token="t")
        assert opening.url == "ws://127.0.0.1:9000/feed?api_key=k&access_token=t"
        assert opening.redacted == "ws://127.0.0.1:9000/feed?api_key=***&access_token=***"

    def test_a_query_of_the_endpoints_own_stands_behind(self) -> None:
        opening = SESSION.handshake("wss://x?user_id=AB1234", api_key="k", access_token="t")
        assert opening.url == "wss://x/?api_key=k&access_token=t&user_id=AB1234"
        assert opening.redacted == "wss://x/?api_key=***&access_token=***"

    def test_secrets_are_not_shown(self) -> None:
        opening = SESSION.handshake(ENDPOINT, api_key="the-key", access_token=CANARY)
        for text in (repr(opening), str(opening), opening.redacted):
            assert "canary" not in text
            assert "the-key" not in text

    def test_scrub_takes_echoed_secrets_out(self) -> None:
        opening = SESSION.handshake(ENDPOINT, api_key="the-key", access_token=CANARY)
        echoed = f"bad request: GET {opening.url}, token {CANARY}, key the-key"
        assert opening.scrub(echoed) == (
            "bad request: GET wss://ws.kite.trade/?api_key=***&access_token=***, token ***, key ***"
        )

    @pytest.mark.parametrize(
        ("status", "meaning"),
        [
            (101, HttpMeaning.CONNECTED),
            (401, HttpMeaning.AUTH_REJECTED),
            (403, HttpMeaning.AUTH_REJECTED),
            (429, HttpMeaning.RATE_LIMITED),
            (200, HttpMeaning.UNAVAILABLE),
            (302, HttpMeaning.UNAVAILABLE),
            (400, HttpMeaning.UNAVAILABLE),
            (500, HttpMeaning.UNAVAILABLE),
            (503, HttpMeaning.UNAVAILABLE),
        ],
    )
    def test_http_status(self, status: int, meaning: HttpMeaning) -> None:
        assert SESSION.http_meaning(status) is meaning


class TestCommands:
    def test_new_instruments_are_subscribed_then_get_their_modes(self) -> None:
        assert sent({1: Mode.FULL, 2: Mode.LTP, 3: Mode.QUOTE, 4: Mode.FULL}, {}) == [
            {"a": "subscribe", "v": [1, 2, 3, 4]},
            {"a": "mode", "v": ["full", [1, 4]]},
            {"a": "mode", "v": ["ltp", [2]]},
            {"a": "mode", "v": ["quote", [3]]},
        ]

    def test_thousands_in_three_modes_are_few_messages(self) -> None:
        modes = (Mode.FULL, Mode.LTP, Mode.QUOTE)
        wanted = {token: modes[token % 3] for token in range(3000)}
        found = sent(wanted, {})
        assert Counter(message["a"] for message in found) == {"subscribe": 6, "mode": 6}
        ltp = [token for token in wanted if wanted[token] is Mode.LTP]
        assert found[:2] == [
            {"a": "subscribe", "v": ltp[:500]}, {"a": "mode", "v": ["ltp", ltp[:500]]},
        ]  # fmt: skip

    def test_room_is_made_first(self) -> None:
        assert sent({2: Mode.LTP}, {1: Mode.FULL}) == [
            {"a": "unsubscribe", "v": [1]},
            {"a": "subscribe", "v": [2]},
            {"a": "mode", "v": ["ltp", [2]]},
        ]

    def test_a_change_of_mode_is_one_message(self) -> None:
        assert sent({1: Mode.FULL, 2: Mode.LTP}, {1: Mode.QUOTE, 2: Mode.LTP}) == [
            {"a": "mode", "v": ["full", [1]]}
        ]

    def test_nothing_to_say(self) -> None:
        assert sent({1: Mode.FULL}, {1: Mode.FULL}) == []
        assert sent({}, {}) == []

    def test_mode_none_is_not_wanted(self) -> None:
        assert sent({1: Mode.NONE}, {1: Mode.FULL}) == [{"a": "unsubscribe", "v": [1]}]
        assert sent({1: Mode.LTP}, {1: Mode.NONE})[0] == {"a": "subscribe", "v": [1]}

    def test_plain_integers_from_a_table_are_modes(self) -> None:
        table: Any = {1: 3, 2: 0}
        assert sent(table, {}) == [
            {"a": "subscribe", "v": [1]},
            {"a": "mode", "v": ["full", [1]]},
        ]

    def test_a_whole_connection_goes_in_batches(self) -> None:
        wanted = dict.fromkeys(range(LIMITS.instruments_per_connection), Mode.FULL)
        commands = list(SESSION.commands(wanted=wanted, on_wire={}))
        assert max(len(c.wire) for c in commands) == LIMITS.tokens_per_command
        assert len(commands) == 2 * LIMITS.instruments_per_connection // LIMITS.tokens_per_command

    @given(
        wanted=st.dictionaries(st.integers(0, 2**32 - 1), st.sampled_from(Mode), max_size=30),
        on_wire=st.dictionaries(st.integers(0, 2**32 - 1), st.sampled_from(Mode), max_size=30),
    )
    def test_commands_lead_from_the_wire_to_what_is_wanted(
        self, wanted: dict[int, Mode], on_wire: dict[int, Mode]
    ) -> None:
        """What each command says of the wire is what a server that obeys it would hold."""
        server = {token: mode for token, mode in on_wire.items() if mode != Mode.NONE}
        table = dict(server)
        for command in SESSION.commands(wanted=wanted, on_wire=on_wire):
            obey(server, json.loads(command.payload))
            table.update(command.wire)
            assert {t: m for t, m in table.items() if m != Mode.NONE} == server
        assert server == {token: mode for token, mode in wanted.items() if mode != Mode.NONE}


def obey(server: dict[int, Mode], message: dict[str, Any]) -> None:
    value = message["v"]
    if message["a"] == "subscribe":
        server.update(dict.fromkeys(value, Mode.QUOTE))
    elif message["a"] == "unsubscribe":
        for token in value:
            del server[token]
    else:
        mode = Mode[value[0].upper()]
        assert set(value[1]) <= set(server), "mode without subscribe"
        server.update(dict.fromkeys(value[1], mode))


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "kind", "data"),
        [
            ('{"type":"order","data":{"order_id":"1"}}', TextKind.ORDER, {"order_id": "1"}),
            ('{"type":"error","data":"too many"}', TextKind.ERROR, "too many"),
            ('{"type":"message","data":"hello"}', TextKind.MESSAGE, "hello"),
            ('{"type":"instruments_meta","data":[2]}', TextKind.INSTRUMENTS_META, [2]),
            ('{"type":"app_code","timestamp":"t"}', TextKind.APP_CODE, None),
            ('{"type":"order"}', TextKind.ORDER, None),
            ('{"type":"new thing","data":1}', TextKind.UNKNOWN, 1),
            ('{"type":7}', TextKind.UNKNOWN, None),
            ('{"type":["order"]}', TextKind.UNKNOWN, None),
            ("{}", TextKind.UNKNOWN, None),
        ],
    )  # fmt: skip
    def test_kinds(self, text: str, kind: TextKind, data: object) -> None:
        message = SESSION.parse_text(text.encode())
        assert (message.kind, message.data) == (kind, data)
        assert message.instruments_max is None

    @pytest.mark.parametrize("limit", [500, 3000])
    def test_the_limit_that_an_error_names(self, limit: int) -> None:
        said = f"Can't subscribe to more than {limit} instruments."
        text = '{"type":"%s","data":"%s"}'
        assert SESSION.parse_text((text % ("error", said)).encode()).instruments_max == limit
        assert SESSION.parse_text((text % ("message", said)).encode()).instruments_max is None

    @pytest.mark.parametrize(
        "text",
        [
            b"", b" ", b"{", b"[]", b'[{"type":"order"}]', b"null", b"true", b"7", b'"order"',
            b"\xff\xfe", b'{"data":"order"', b"{'type':'order'}", b"1" * 6_000, b"NaN",
            b"[" * 100_000, b'{"a":' * 40_000, b"[" * 33 + b"]" * 33,
            b'{"data":' + b"[" * 32 + b"]" * 32 + b"}",
        ],
        ids=lambda text: repr(text[:16]),
    )  # fmt: skip
    def test_what_is_no_object_is_invalid_and_says_why(self, text: bytes) -> None:
        message = SESSION.parse_text(text)
        assert message.kind is TextKind.INVALID
        assert message.problem
        assert SESSION.classify(is_text=True, payload=text) is MessageClass.TEXT

    def test_nesting_up_to_the_limit_is_understood(self) -> None:
        inner = LIMITS.text_depth_max - 1
        text = b'{"type":"message","data":' + b"[" * inner + b"]" * inner + b"}"
        assert SESSION.parse_text(text).kind is TextKind.MESSAGE

    def test_ten_megabytes_are_not_unfolded(self) -> None:
        text = b'{"type":"message","data":"' + b"x" * 10_000_000 + b'"}'
        assert SESSION.parse_text(text).kind is TextKind.INVALID
        assert SESSION.classify(is_text=True, payload=text) is MessageClass.TEXT

    def test_a_long_type_is_cut(self) -> None:
        text = json.dumps({"type": "x" * 1_000}).encode()
        assert SESSION.parse_text(text).type_name == "x" * 64

    @given(st.binary(max_size=60))
    def test_nothing_is_raised(self, text: bytes) -> None:
        SESSION.parse_text(text)
        SESSION.classify(is_text=True, payload=text)


class TestClasses:
    @pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x00", b'{"type":"order"}'])
    def test_binary_is_data(self, payload: bytes) -> None:
        assert SESSION.classify(is_text=False, payload=payload) is MessageClass.DATA

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"type":"order","data":{}}',
            b' {\n "type" : "order", "data": {"a":[1]}}',
            b'{"data":{"x":1},"type":"order"}',
            b'{"type":"order"' + b"," * 300_000,
        ],
        ids=["first key", "spaces", "last key", "too long to parse"],
    )
    def test_order_updates(self, payload: bytes) -> None:
        assert SESSION.classify(is_text=True, payload=payload) is MessageClass.ORDER

    @pytest.mark.parametrize(
        "payload",
        [
            b'{"type":"error","data":"order"}',
            b'{"type":"order_update"}',
            b'{"type":"orders"}',
            b'{"data":{"type":"order"}}',
            b'{"data":"x"}',
        ],
    )
    def test_other_texts(self, payload: bytes) -> None:
        assert SESSION.classify(is_text=True, payload=payload) is MessageClass.TEXT
