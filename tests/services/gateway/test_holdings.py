"""What a client is subscribed to, item by item."""

from __future__ import annotations

import json
import random

from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.needs import Listed
from pipeline.services.gateway.session import Session
from pipeline.services.keys import Principal
from tests.services.gateway.desk import Client, FakeDesk


def subscribed(client: Client, **message: object) -> list[str]:
    (answer,) = client.send({"action": "subscribe", **message})
    return [item.get("message", item["status"]) for item in answer["subscriptions"]]


def unsubscribe(client: Client, **message: object) -> list[tuple[object, ...]]:
    before = len(client.desk.calls)
    client.send({"action": "unsubscribe", **message})
    return client.desk.calls[before:]


def holding(client: Client) -> set[tuple[str, str]]:
    (answer,) = client.send({"action": "get_subscriptions"})
    return {(item["symbol"], item["mode"]) for item in answer["subscriptions"]}


def authenticated(limits: Limits | None = None) -> Client:
    client = Client(limits=limits)
    client.authenticate()
    return client


def test_the_desk_is_asked_once_for_each_instrument_and_mode() -> None:
    client = authenticated()
    for mode in (1, 1, 3, "LTP", 1):
        assert subscribed(client, symbols=["NSE:INFY", "NSE:INFY"], mode=mode) == ["success"] * 2
    asked = [call for call in client.desk.calls if call[0] == "subscribe"]
    assert asked == [("subscribe", "INFY", 1), ("subscribe", "INFY", 3)]
    assert client.session.instruments == 1


def test_a_mode_is_the_items_else_the_messages_else_all() -> None:
    client = authenticated()
    for mode in (1, 2, 3):
        subscribed(client, symbols=["NSE:INFY", "NSE:TCS"], mode=mode)
    item = {"symbol": "INFY", "exchange": "NSE", "mode": 3}
    assert unsubscribe(client, symbols=[item], mode=1) == [("unsubscribe", "INFY", 3)]
    assert unsubscribe(client, symbols=["NSE:INFY"], mode="ltp") == [("unsubscribe", "INFY", 1)]
    assert holding(client) == {
        ("INFY", "Quote"), ("TCS", "LTP"), ("TCS", "Quote"), ("TCS", "Depth"),
    }  # fmt: skip
    gone = unsubscribe(client, symbols=["NSE:INFY", "NSE:TCS"])
    assert gone == [("unsubscribe", "INFY", None), ("unsubscribe", "TCS", None)]
    assert holding(client) == set() and client.session.instruments == 0


def test_the_last_mode_given_up_frees_the_instruments_place() -> None:
    client = authenticated(Limits(instruments=1))
    subscribed(client, symbols=["NSE:INFY"], mode=1)
    subscribed(client, symbols=["NSE:INFY"], mode=2)
    assert "At most 1 " in subscribed(client, symbols=["NSE:TCS"], mode=1)[0]
    unsubscribe(client, symbols=["NSE:INFY"], mode=1)
    assert "At most 1 " in subscribed(client, symbols=["NSE:TCS"], mode=1)[0]
    unsubscribe(client, symbols=["NSE:INFY"], mode=2)
    assert subscribed(client, symbols=["NSE:TCS"], mode=1) == ["success"]


def test_a_desk_that_refuses_is_an_items_error_and_tried_again() -> None:
    client = authenticated()
    client.desk.refusals["TCS"] = "no room"
    assert subscribed(client, symbols=["NSE:TCS", "NSE:INFY"], mode=1) == ["no room", "success"]
    assert holding(client) == {("INFY", "LTP")}
    client.desk.refusals.clear()
    assert subscribed(client, symbols=["NSE:TCS"], mode=1) == ["success"]


def test_what_has_no_place_is_told_to_who_wants_it_and_listed() -> None:
    client = authenticated()
    client.desk.without["TCS"] = "full"
    symbols = ["NSE:TCS", "NSE:INFY"]
    assert len(client.send({"action": "subscribe", "symbols": symbols, "mode": 1})) == 1
    tcs = {
        "symbol": "TCS", "exchange": "NSE", "status": "error", "message": "full",
        "broker": "zerodha",
    }  # fmt: skip
    told = {"type": "status", "status": "partial", "subscriptions": [tcs], "broker": "zerodha"}
    assert client.send({"action": "subscribe_status"})[1:] == [told]
    assert client.send({"action": "subscribe", "symbols": symbols, "mode": 3})[1:] == [told]
    (answer,) = client.send({"action": "get_subscriptions"})
    found = [(item["symbol"], item["status"]) for item in answer["subscriptions"]]
    assert sorted(found) == [("INFY", "success")] * 2 + [("TCS", "error")] * 2
    client.desk.without.clear()
    client.raw.clear()
    client.session.places_changed({client.desk.listed["NSE", "TCS"].key, 10**6})
    (news,) = map(json.loads, client.raw)
    assert (news["type"], news["status"], len(news["subscriptions"])) == ("status", "success", 1)
    client.send({"action": "unsubscribe_status"})
    client.raw.clear()
    client.session.places_changed({client.desk.listed["NSE", "TCS"].key})
    assert client.raw == []


def test_names_that_cannot_be_are_not_looked_up() -> None:
    class Strict(FakeDesk):
        def find(self, owner: str, exchange: str, symbol: str) -> None:
            raise AssertionError(f"looked up {exchange}:{symbol}")

    client = Client(Strict())
    client.authenticate()
    names = [
        "../../etc/passwd", "INFY\n", "INFY%00", "\0", "INFY*", "INFY>", "INFY/1", "ＩＮＦＹ",
        "INF\u0423", "A" * 65, "A" * 100_000, "infy", "{}", "INFY;--", "$(x)",
    ]  # fmt: skip
    items = [{"symbol": name, "exchange": "NSE"} for name in names]
    items += [{"symbol": "INFY", "exchange": e} for e in ("nse", "N E", "NSE\n", "N" * 17, "NSE1")]
    for result in subscribed(client, symbols=items, mode=1):
        assert result.startswith("Token not found for ")
        assert len(result) < 160


def test_the_end_gives_everything_up_once() -> None:
    client = authenticated()
    subscribed(client, symbols=["NSE:INFY", "NSE:TCS"], mode=1)
    client.send({"action": "subscribe_orders"})
    before = len(client.desk.calls)
    client.session.ended()
    client.session.ended()
    assert client.desk.calls[before:] == [
        ("unsubscribe_orders",),
        ("unsubscribe", "INFY", None),
        ("unsubscribe", "TCS", None),
    ]


class Ledger(FakeDesk):
    """A desk that knows what it sends to whom, and minds being told what it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.sends: set[tuple[Session, int, int]] = set()

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        found = self.listed.get((exchange, symbol))
        return None if found is None else found._replace(key=found.key + 1000 * len(owner))

    def subscribe(self, client: Session, listed: Listed, mode: int) -> str | None:
        assert client.principal is not None and client.principal.owner is not None
        assert listed.key // 1000 == len(client.principal.owner)
        entry = (client, listed.key, mode)
        assert entry not in self.sends
        self.sends.add(entry)
        return None

    def unsubscribe(self, client: Session, listed: Listed, mode: int | None) -> None:
        gone = {(client, listed.key, each) for each in ([mode] if mode else (1, 2, 3))}
        assert gone & self.sends
        self.sends -= gone


def test_fifty_clients_at_random_have_what_they_asked_for_and_of_their_own() -> None:
    seed = 20
    chance = random.Random(seed)
    desk = Ledger()
    clients = []
    for i in range(50):
        owner = ("asha", "bo")[i % 2]
        desk.keys[f"key-{i}"] = Principal(f"key-{i}", f"user-{i}", f"account-{owner}", owner)
        clients.append(Client(desk, limits=Limits(control_messages_per_s=1e6)))
        assert clients[i].send({"action": "auth", "apikey": f"key-{i}"})[0]["status"] == "success"
    wanted: dict[int, set[tuple[str, int]]] = {i: set() for i in range(50)}
    symbols = [symbol for exchange, symbol in desk.listed if exchange == "NSE"]
    for _ in range(3000):
        i = chance.randrange(50)
        chosen = chance.sample(symbols, chance.randint(1, 3))
        mode = chance.choice([1, 2, 3, None])
        action = chance.choice(["subscribe", "subscribe", "unsubscribe", "unsubscribe_all"])
        message = {"action": action, "symbols": [f"NSE:{symbol}" for symbol in chosen]}
        if mode:
            message["mode"] = mode
        clients[i].send(message)
        if action == "subscribe":
            wanted[i] |= {(symbol, mode or 2) for symbol in chosen}
        elif action == "unsubscribe":
            modes = [mode] if mode else [1, 2, 3]
            wanted[i] -= {(symbol, each) for symbol in chosen for each in modes}
        else:
            wanted[i].clear()
    for i, client in enumerate(clients):
        base = 1000 * (4, 2)[i % 2]
        keys = {(desk.listed["NSE", symbol].key + base, mode) for symbol, mode in wanted[i]}
        assert {e[1:] for e in desk.sends if e[0] is client.session} == keys, f"seed {seed}"
        client.session.ended()
    assert desk.sends == set()
