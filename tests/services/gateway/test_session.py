"""A session: the key, what waits, what is read later, what ends it. Time is stepped through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.services.gateway.guard import Guard
from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.needs import Listed
from pipeline.services.gateway.steps import PART
from pipeline.services.keys import Principal
from tests.services.gateway.desk import ALICE, KEY, START_NS, Client, FakeDesk

STRANGER = "203.0.113.7"
AUTHENTICATE = {"action": "authenticate", "api_key": KEY}
WRONG = {"action": "authenticate", "api_key": "nonsense"}
SUBSCRIBE = {"action": "subscribe", "symbol": "INFY", "exchange": "NSE", "mode": 1}
PING = {"action": "ping"}


def padded(message: dict[str, Any], size: int) -> bytes:
    text = json.dumps(message)
    return (text + " " * (size - len(text))).encode()


class Slow(Client):
    """A client whose key is looked at until `answer_keys`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.desk.answers_at_once = False

    def answer(self) -> list[Any]:
        before = len(self.raw)
        self.desk.answer_keys(self.now_ns)
        return [json.loads(each) for each in self.raw[before:]]


# The key.


def test_nobody_in_time_is_closed() -> None:
    client = Client()
    assert client.session.next_ns == START_NS + 15_000_000_000
    assert client.after(14.9) == [] and client.closed == []
    client.send(PING)
    client.after(0.1)
    assert client.closed == [(4401, "auth timeout")]
    assert client.session.cut_as == "unauthenticated"
    assert client.send(AUTHENTICATE) == [] and client.after(1) == []
    assert client.session.next_ns == 0


def test_wrong_keys_do_not_move_the_deadline() -> None:
    client = Client()
    for _ in range(14):
        client.send(WRONG)
        client.after(1)
    assert client.closed == []
    client.after(1)
    assert client.closed == [(4401, "auth timeout")]
    assert client.session.cut_as == "unauthenticated"


def test_a_good_key_ends_the_deadline() -> None:
    client = Client()
    client.after(14.9)
    client.authenticate()
    client.after(3600)
    assert client.closed == [] and client.session.principal == ALICE
    assert client.session.next_ns == 0


def test_a_key_that_nobody_looks_at_does_not_outlive_the_deadline() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    client.after(15)
    assert client.closed == [(4401, "auth timeout")]
    assert client.session.cut_as == "unauthenticated"
    assert client.answer() == []


def test_a_key_that_cannot_be_looked_at_may_be_shown_again() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    client.session.key_unchecked(client.now_ns)
    (error,) = map(json.loads, client.raw)
    assert error["code"] == "SERVER_ERROR" and "type" not in error
    client.send(AUTHENTICATE)
    assert client.answer()[0]["status"] == "success"


def test_a_key_that_is_good_no_longer_ends_the_client() -> None:
    client = Client()
    client.authenticate()
    client.session.key_revoked()
    assert client.closed == [(4401, "key revoked")]
    assert client.session.cut_as == "revoked"
    assert json.loads(client.raw[-1])["code"] == "AUTHENTICATION_ERROR"


def test_another_key_of_the_same_owner_keeps_what_is_subscribed() -> None:
    client = Client()
    client.desk.keys["second"] = Principal("second", "phone", "main", ALICE.owner)
    client.authenticate()
    client.send(SUBSCRIBE)
    client.send({"action": "auth", "apikey": "second"})
    assert client.session.instruments == 1 and client.session.principal != ALICE


def test_a_key_of_another_owner_gives_up_what_was_subscribed() -> None:
    client = Client()
    client.desk.keys["other"] = Principal("other", "bob", "second", "bob")
    client.authenticate()
    client.send(SUBSCRIBE)
    client.send({"action": "subscribe_orders"})
    client.send({"action": "auth", "apikey": "other"})
    assert client.desk.calls[-2:] == [("unsubscribe_orders",), ("unsubscribe", "INFY", None)]
    assert client.session.instruments == 0


def test_a_wrong_key_later_leaves_the_first_one_good() -> None:
    client = Client()
    client.authenticate()
    assert client.send(WRONG)[0]["message"] == "Invalid API key"
    assert client.send(SUBSCRIBE)[0]["status"] == "success"


def test_wrong_keys_of_an_address_are_answered_late_then_end_it() -> None:
    guard = Guard(Limits(unauthenticated_per_address=100, authenticate_within_s=100))
    client = Client(guard=guard, limits=guard.limits, address=STRANGER)
    bystander = Client(guard=guard, limits=guard.limits, address=STRANGER)
    for _ in range(4):
        assert client.send(WRONG)[0]["message"] == "Invalid API key"
    for _ in range(15):
        assert client.send(WRONG) == []
        assert client.session.next_ns == client.now_ns + 1_000_000_000
        assert client.after(0.9) == []
        (error,) = client.after(0.1)
        assert error["message"] == "Invalid API key"
    assert client.send(WRONG)[0]["message"] == "Invalid API key"
    assert client.closed == [(1008, "too many wrong keys")]
    assert client.session.cut_as == "wrong_keys"
    # Who is banned is not told whether his key would have been good.
    assert bystander.send(AUTHENTICATE)[0]["message"] == "Invalid API key"
    assert bystander.closed == [(1008, "too many wrong keys")]


def test_what_was_sent_behind_a_wrong_key_waits_for_its_late_answer() -> None:
    guard = Guard(Limits(wrong_keys_until_delay=1))
    client = Client(guard=guard, address=STRANGER)
    client.send(WRONG)
    client.send(PING)
    client.send(AUTHENTICATE)
    assert client.raw == []
    answers = client.after(1.0)
    assert [a.get("code") or a["type"] for a in answers] == ["AUTHENTICATION_ERROR", "pong", "auth"]


# What waits.


def test_messages_behind_a_key_wait_and_are_served_in_order() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    for i in range(64):
        assert client.send({**SUBSCRIBE, "request_id": i}) == []
    answers = client.answer()
    assert answers[0]["type"] == "auth"
    assert [a["request_id"] for a in answers[1:]] == list(range(64))
    assert all(a["type"] == "subscribe" for a in answers[1:])


def test_messages_behind_a_wrong_key_are_told_so_one_by_one() -> None:
    client = Slow()
    client.send(WRONG)
    client.send(SUBSCRIBE)
    client.send(PING)
    codes = [a.get("code") or a["type"] for a in client.answer()]
    assert codes == ["AUTHENTICATION_ERROR", "NOT_AUTHENTICATED", "pong"]


def test_more_than_may_wait_before_a_key_ends_it() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    for _ in range(64):
        client.send(PING)
    assert client.closed == []
    client.send(PING)
    assert client.closed == [(1008, "too much before authentication")]
    assert client.session.cut_as == "excess"
    assert client.answer() == []


def test_a_message_before_a_key_is_short() -> None:
    client = Client()
    assert client.session.payload_bytes_max == 4096
    assert client.send(padded(PING, 4096))
    client.send(padded(PING, 4097))
    assert client.closed == [(1009, "message too big")]
    assert client.session.cut_as == "excess"


def test_a_long_message_right_behind_a_key_waits_like_any_other() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    assert client.session.payload_bytes_max == 64 * 4096
    client.send(padded(SUBSCRIBE, 200_000))
    assert client.closed == []
    assert [a["type"] for a in client.answer()] == ["auth", "subscribe"]


def test_all_that_waits_behind_a_key_is_bounded() -> None:
    client = Slow()
    client.send(AUTHENTICATE)
    client.send(padded(PING, 200_000))
    client.send(padded(PING, 200_000))
    assert client.closed == [(1008, "too much before authentication")]
    assert client.session.cut_as == "excess"


def test_after_a_key_a_message_is_a_mebibyte() -> None:
    client = Client()
    client.authenticate()
    assert client.send(padded(PING, 1 << 20))
    client.send(padded(PING, (1 << 20) + 1))
    assert client.closed == [(1009, "message too big")]
    assert client.session.cut_as == "excess"


# What is read later.


def test_a_flood_is_read_more_slowly_and_nothing_is_lost() -> None:
    client = Client()
    client.authenticate()
    for i in range(1200):
        client.send({"action": "ping", "timestamp": i})
    assert len(client.raw) == 1000  # the key was one of the thousand
    assert client.session.pause_until_ns == client.now_ns + 20_000_000
    assert client.session.next_ns == client.session.pause_until_ns
    for second in range(1, 5):
        assert len(client.after(1.0)) == 50, second
    assert len(client.after(1.0)) == 1
    echoed = [json.loads(raw)["client_timestamp"] for raw in client.raw[1:]]
    assert echoed == list(range(1200))
    assert client.closed == [] and client.session.pause_until_ns == 0


def test_frames_that_are_no_messages_count_like_messages() -> None:
    client = Client()
    client.authenticate()
    for _ in range(999):
        client.session.bothered(client.now_ns)
    assert client.session.pause_until_ns == client.now_ns + 20_000_000
    client.session.bothered(client.now_ns)
    assert client.session.pause_until_ns == client.now_ns + 40_000_000
    assert client.send(PING) == []
    assert len(client.after(0.04)) == 1
    client.after(1.0)
    assert client.session.pause_until_ns == 0 and client.closed == []


def test_a_pause_ends_with_a_tick_and_not_with_what_was_read_already() -> None:
    client = Client(limits=Limits(control_messages_burst=2))
    client.authenticate()
    client.send(PING)
    paused_until_ns = client.session.pause_until_ns
    assert paused_until_ns == client.now_ns + 20_000_000
    client.now_ns += 10**9  # the process was away; what it had read before comes now
    client.send(PING)
    assert client.session.pause_until_ns == client.session.next_ns == paused_until_ns
    client.after(0.0)
    assert client.session.pause_until_ns == client.session.next_ns == 0


def test_big_subscriptions_one_after_the_other_are_read_more_slowly() -> None:
    client = Client(limits=Limits(control_messages_burst=100))
    client.authenticate()
    message = {"action": "subscribe", "symbols": ["NSE:INFY"] * 5000, "mode": 1}
    assert client.send(message) and client.session.pause_until_ns == 0
    assert client.send(message)
    assert client.session.pause_until_ns > client.now_ns
    assert client.send(message) == []
    client.after(3.0)
    assert len(client.raw) == 4 and client.closed == []


def test_a_reader_that_does_not_stop_is_ended_before_memory_is() -> None:
    client = Client(limits=Limits(control_messages_burst=1))
    client.authenticate()
    for _ in range(20):
        client.send(padded(PING, 1 << 20))
    assert client.closed == [(1008, "too many messages")]
    assert client.session.cut_as == "excess"


# What is wrong with messages.


def test_errors_of_items_never_end_it() -> None:
    client = Client()
    client.authenticate()
    for _ in range(200):
        items = [{"symbol": "NOSUCH", "exchange": "NSE"}, 5, "x", {"symbol": 1, "exchange": 2}]
        (answer,) = client.send({"action": "subscribe", "symbols": items, "mode": 1})
        assert [item["status"] for item in answer["subscriptions"]] == ["error"] * 4
    assert client.closed == []


def test_twenty_wrong_messages_in_a_minute_are_answered_and_the_next_ends_it() -> None:
    client = Client()
    client.authenticate()
    for _ in range(20):
        assert client.send(b"nonsense")[0]["code"] == "INVALID_JSON"
    assert client.closed == []
    assert client.send(b"nonsense")[0]["code"] == "INVALID_JSON"
    assert client.closed == [(1008, "too many errors")]
    assert client.session.cut_as == "excess"


def test_a_wrong_message_now_and_then_never_ends_it() -> None:
    client = Client()
    client.authenticate()
    for _ in range(200):
        client.send({"type": "heartbeat"})
        client.after(5.0)
    assert client.closed == []


def test_more_instruments_than_could_be_answered_are_one_error() -> None:
    client = Client()
    client.authenticate()
    items = ["NSE:INFY"] * 10_001
    (error,) = client.send({"action": "subscribe", "symbols": items, "request_id": "big"})
    assert (error["code"], error["request_id"]) == ("INVALID_PARAMETERS", "big")
    assert client.closed == [] and client.session.instruments == 0


def test_five_thousand_instruments_and_not_one_more() -> None:
    desk = FakeDesk()
    listed = next(iter(desk.listed.values()))
    names = [f"S{i}" for i in range(5001)]
    desk.listed = {
        ("NSE", name): listed._replace(symbol=name, key=i) for i, name in enumerate(names)
    }
    client = Client(desk)
    client.authenticate()
    items = [{"symbol": name, "exchange": "NSE"} for name in names]
    (answer,) = client.send({"action": "subscribe", "symbols": items, "mode": 1})
    statuses = [item["status"] for item in answer["subscriptions"]]
    assert statuses == ["success"] * 5000 + ["error"]
    assert answer["subscriptions"][-1]["message"] == "At most 5000 instruments per connection"
    assert client.session.instruments == 5000 and client.closed == []


def long_list(count: int) -> tuple[Client, list[dict[str, str]]]:
    """Return a client who may name so many instruments, and these."""
    desk = FakeDesk()
    desk.listed = {("NSE", f"S{i}"): Listed(i, f"S{i}", "NSE") for i in range(count)}
    client = Client(desk)
    client.authenticate()
    return client, [{"symbol": f"S{i}", "exchange": "NSE"} for i in range(count)]


def hand_in(client: Client, **message: object) -> None:
    """Send a message without doing more than its first part."""
    client.session.receive(json.dumps(message).encode(), client.now_ns)


def parts_of(client: Client) -> int:
    """Do what is under way part by part; return how many there were, none of them too long."""
    parts = 0
    while client.session.has_more:
        before = len(client.desk.calls)
        client.session.proceed(client.now_ns)
        assert len(client.desk.calls) - before <= PART + 1  # one may be an acknowledgement
        parts += 1
    return parts


@pytest.mark.parametrize("count", [PART - 1, PART, PART + 1, 4 * PART, 4 * PART + 3])
def test_what_is_long_is_done_in_parts_and_answered_once_and_in_order(count: int) -> None:
    client, items = long_list(count)
    expected = 0 if count <= PART else -(-count // PART)
    for action in ("subscribe", "unsubscribe", "subscribe", "get_subscriptions", "unsubscribe_all"):
        before = len(client.raw)
        hand_in(client, action=action, symbols=items, mode=1)
        hand_in(client, action="ping", timestamp=7)  # it waits for its turn
        assert len(client.raw) - before == (0 if expected else 2)
        parts = parts_of(client)
        assert expected <= parts <= 2 * expected, action
        first, second = (json.loads(each) for each in client.raw[before:])
        assert second["type"] == "pong" and first["status"] == "success"
        found = first.get("subscriptions", first.get("successful"))
        assert [item["symbol"] for item in found] == [item["symbol"] for item in items]
        assert client.session.instruments == (0 if action.startswith("un") else count)


def test_the_end_in_the_midst_of_a_long_one_gives_up_what_was_had() -> None:
    client, items = long_list(3 * PART)
    hand_in(client, action="subscribe", symbols=items, mode=1)
    client.session.proceed(client.now_ns)
    client.session.proceed(client.now_ns)
    had, said = client.session.instruments, len(client.raw)
    assert 0 < had < len(items)
    client.session.ended()
    assert client.session.has_more, "that, too, is done in parts"
    parts_of(client)
    calls = [call[0] for call in client.desk.calls]
    assert calls.count("subscribe") == calls.count("unsubscribe") == had
    assert client.session.instruments == 0 and len(client.raw) == said
    assert not client.desk.calls[-1][0].startswith("ack")


def test_a_long_message_costs_the_rate_once() -> None:
    client, items = long_list(4 * PART)
    before_ns = client.session._inbox._bucket.ready_ns()
    hand_in(client, action="subscribe", symbols=items, mode=1)
    at_once_ns = client.session._inbox._bucket.ready_ns()
    parts_of(client)
    assert client.session._inbox._bucket.ready_ns() == at_once_ns > before_ns


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None, True, "x" * 129, 2**63, 1.5, "", 7])
def test_ids_come_back_if_they_are_short_words_or_numbers(value: object) -> None:
    (answer,) = Client().send({"action": "ping", "request_id": value, "_pingId": value})
    expected = {"request_id", "_pingId"} if value in (1.5, "", 7) and value is not True else set()
    assert {"request_id", "_pingId"} & answer.keys() == expected


def test_the_last_known_ticks_may_follow_the_answer() -> None:
    class Eager(FakeDesk):
        def acknowledged(self, client: Any, accepted: Any) -> None:
            client_of[client].raw.append(b'{"type":"market_data"}')

    desk = Eager()
    client = Client(desk)
    client_of = {client.session: client}
    client.authenticate()
    assert [a["type"] for a in client.send(SUBSCRIBE)] == ["subscribe", "market_data"]


def test_a_session_shows_its_name_and_no_key() -> None:
    client = Client()
    assert repr(client.session) == "<Session of nobody, 0 instruments>"
    client.authenticate()
    assert repr(client.session) == "<Session of alice, 0 instruments>"
