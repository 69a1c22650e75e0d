"""Which owner a request is about, and what is refused to whom."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.control import (
    INSTRUMENTS_MAX,
    Act,
    AnyRequest,
    Ask,
    Declare,
    Hello,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from pipeline.services.control.router import Router
from tests.services.control.owners import OWNERS, Realm, owners_config


@pytest.fixture
def realm() -> Realm:
    realm = Realm(owners_config("instruments_per_connection = 10"))
    for owner in (*OWNERS, None):
        realm.router.ledger(owner).join("t")
    return realm


def ask(realm: Realm, request: AnyRequest, owner: str | None = None) -> Any:
    answer = realm.router.answer("t", request, owner)
    assert answer.problem is None, answer.problem
    return answer.result


def refusal(realm: Realm, request: AnyRequest, owner: str | None = None) -> str:
    answer = realm.router.answer("t", request, owner)
    assert answer.problem is not None and answer.result is None
    assert answer.problem.code in ("bad_request", "conflict", "not_found")
    return answer.problem.text


def test_what_is_wanted_is_wanted_on_the_owners_connections(realm: Realm) -> None:
    for owner in OWNERS:
        assert ask(realm, Subscribe(instruments=[1, 2]), owner)["accepted"] == 2
    ask(realm, Subscribe(instruments=[3]), "bob")
    realm.asked |= {"alice": {1, 2}, "bob": {1, 2, 3}}
    realm.turn()
    carried = {owner: realm.carried(owner) for owner in OWNERS}
    assert carried["alice"].keys() == {1, 2} and carried["bob"].keys() == {1, 2, 3}
    realm.check()
    ask(realm, Unsubscribe(instruments=[1]), "alice")
    realm.turn()
    assert realm.carried("alice").keys() == {2} and realm.carried("bob").keys() == {1, 2, 3}


def test_another_owners_account_and_connection_are_none(realm: Realm) -> None:
    for owner in OWNERS:
        ask(realm, Subscribe(instruments=[1]), owner)
    realm.turn()
    bobs = next(iter(realm.pools["bob"].links))
    answer = realm.router.answer("t", Subscribe(instruments=[2], account="b1"), "alice")
    assert answer.problem is not None and "API key not found" in answer.problem.text
    answer = realm.router.answer("t", Subscribe(instruments=[2], connection=bobs), "alice")
    assert answer.problem is not None and "does not exist" in answer.problem.text


@pytest.mark.parametrize(
    "request_",
    [
        Subscribe(instruments=[1]), Unsubscribe(instruments=[1]), Declare(wants={"full": [1]}),
        SetMode(instruments=[1], mode="ltp"), Act(action="scale", connections=2),
    ],
)  # fmt: skip
def test_who_wants_something_names_an_owner(realm: Realm, request_: AnyRequest) -> None:
    assert "name one with owner: alice, bob" in refusal(realm, request_)
    assert "expected one of alice, bob" in refusal(realm, request_, "carol")
    assert realm.router.refusals == {"bad_request": 2}


@pytest.mark.parametrize(
    "request_",
    [
        Subscribe(instruments=[1] * (INSTRUMENTS_MAX + 1), partial=True),
        Unsubscribe(instruments=[1] * (INSTRUMENTS_MAX + 1)),
        SetMode(instruments=[1] * (INSTRUMENTS_MAX + 1), mode="ltp"),
        Declare(wants={"full": [1] * INSTRUMENTS_MAX, "ltp": [2]}),
    ],
    ids=["subscribe", "unsubscribe", "mode", "declare"],
)
@pytest.mark.parametrize("owner", [*OWNERS, None])
def test_who_asks_for_too_many_at_once_keeps_nobody_waiting(
    realm: Realm, request_: AnyRequest, owner: str | None
) -> None:
    answer = realm.router.answer("t", request_, owner)
    assert answer.problem is not None and answer.problem.code == "bad_request"
    assert answer.problem.detail["requested"] == INSTRUMENTS_MAX + 1
    assert "ask in parts" in answer.problem.text
    assert not any(pool.ledger.desired for pool in realm.pools.values())


def test_as_many_as_may_be_are_taken_as_far_as_there_is_room() -> None:
    pool = "instruments_per_connection = 3000\nconnections_per_key = 3"
    realm = Realm(owners_config(pool))
    assert sum(k.connections_max for k in realm.pools["alice"].assigned.keys) == 6
    realm.router.ledger("alice").join("t")
    many = list(range(1, INSTRUMENTS_MAX + 1))
    assert ask(realm, Declare(wants={"full": many}), "alice")["accepted"] == 18_000


def test_an_answer_begins_with_a_sign_of_life(realm: Realm) -> None:
    signs: list[int] = []
    router = Router(realm.commands, about={}, questions={}, begin=lambda: signs.append(1))
    router.answer("t", Subscribe(instruments=[1]), "alice")
    router.answer("t", Subscribe(instruments=[1]), "nobody")
    assert len(signs) == 2


def test_an_only_owner_need_not_be_named() -> None:
    realm = Realm(owners_config("instruments_per_connection = 10"))
    router = Router({"alice": realm.commands["alice"]}, about={}, questions={})
    assert router.whose(None) == router.whose("alice") == "alice"
    router.ledger(None).join("t")
    answer = router.answer("t", Subscribe(instruments=[1]))
    assert answer.problem is None and router.ledger("alice") is router.ledger(None)
    assert 1 in realm.pools["alice"].ledger.desired


def test_a_client_of_one_name_is_another_for_each_owner(realm: Realm) -> None:
    ask(realm, Declare(wants={"full": [1, 2]}), "alice")
    ask(realm, Declare(wants={"ltp": [2, 3]}), "bob")
    assert ask(realm, Declare(wants={}), "alice")["accepted"] == 0
    assert not realm.pools["alice"].ledger.desired
    assert realm.pools["bob"].ledger.desired.keys() == {2, 3}
    assert ask(realm, Declare(wants={"ltp": []}))["accepted"] == 0  # whosever: nothing
    assert not realm.pools["bob"].ledger.desired


def test_an_account_is_replaced_for_its_owner(realm: Realm) -> None:
    assert ask(realm, Act(action="recycle", account="b1")) == "bob"
    assert ask(realm, Act(action="recycle", account="a2")) == "alice"
    assert ask(realm, Act(action="recycle", account="a2"), "alice") == "alice"


def test_lists_are_everybodys_or_one_owners(realm: Realm) -> None:
    ask(realm, Subscribe(instruments=[1, 5]), "alice")
    ask(realm, Subscribe(instruments=[1, 3]), "bob")
    rows = ask(realm, Ask(about="subscriptions"))
    pairs = [(row["instrument_token"], row["owner"]) for row in rows]
    assert pairs == [(1, "alice"), (1, "bob"), (3, "bob"), (5, "alice")]
    own = ask(realm, Ask(about="subscriptions"), "bob")
    assert [(row["instrument_token"], row["owner"]) for row in own] == [(1, "bob"), (3, "bob")]
    clients = ask(realm, Ask(about="clients"))
    assert [(row["name"], row["owner"]) for row in clients] == [("t", "alice"), ("t", "bob")]
    assert ask(realm, Ask(about="windows")) == []


def test_a_page_does_not_part_owners_of_an_instrument(realm: Realm) -> None:
    for owner in OWNERS:
        ask(realm, Subscribe(instruments=[1, 2, 3]), owner)
    pages, after = [], 0
    while rows := ask(realm, Ask(about="subscriptions", after=after, limit=3)):
        pages.append([row["instrument_token"] for row in rows])
        after = rows[-1]["instrument_token"]
    assert pages == [[1, 1, 2, 2], [3, 3]]


def test_documents_are_everybodys_or_one_owners(realm: Realm) -> None:
    assert (
        ask(realm, Ask(about="stats")) == "all" and ask(realm, Ask(about="stats"), "bob") == "bob"
    )
    assert "expected one of clients, stats, subscriptions" in refusal(realm, Ask(about="x"))


def test_hello_says_whose_one_is(realm: Realm) -> None:
    assert ask(realm, Hello(client="t"))["owner"] is None
    assert ask(realm, Hello(client="t"), "bob")["owner"] == "bob"


def test_an_action_finds_the_connections_owner(realm: Realm) -> None:
    for owner in OWNERS:
        ask(realm, Subscribe(instruments=[1]), owner)
    realm.turn()
    for owner in OWNERS:
        number = next(iter(realm.pools[owner].links))
        assert ask(realm, Act(action="recycle", connection=number)) == owner
    assert refusal(realm, Act(action="drain", connection=9)).endswith("there are: 0, 1")
    assert ask(realm, Act(action="rebalance"))["text"] == "the pools are in balance"
    assert ask(realm, Act(action="scale", connections=2), "bob") == 2
    assert "expected one of" in refusal(realm, Act(action="fly"))
