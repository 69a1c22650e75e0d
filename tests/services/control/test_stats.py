"""The stats document: the known fields, and what is counted where; health and facts beside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.control import Ask
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import Want, Why
from pipeline.services.control.documents import BIRTH_NS, Documents
from pipeline.services.control.facts import facts
from pipeline.services.control.outside import Outside
from pipeline.services.control.pool import Pool
from pipeline.services.control.refused import Refused
from pipeline.services.control.stats import NOTE
from tests.services.control.test_outside import Ground

FIELDS = {
    "account_id", "total_connections", "total_target_tokens", "total_subscribed_tokens",
    "max_instruments_per_connection", "total_capacity", "connections", "statistics",
}  # fmt: skip
CONNECTION_FIELDS = {
    "connection_id", "connected", "subscribed_tokens", "capacity", "available_capacity",
    "utilization_percent",
}  # fmt: skip


class Told:
    """A pool over an instance without processes, and its documents."""

    def __init__(self, folder: Path) -> None:
        self.ground = Ground(folder)
        config = self.ground.config
        self.pool = Pool(config, plan_topology(config), Outside(self.ground.paths), monotonic_ns())
        self.documents = Documents(config, self.ground.paths, {"default": self.pool})
        self.desk = self.documents.desk

    def want(self, count: int) -> None:
        ledger = self.pool.ledger
        ledger.join("t")
        ledger.add("t", {token: Want(token) for token in range(1, count + 1)})
        self.pool.turn(monotonic_ns())


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # this process supervises the instance
    yield Told(tmp_path)
    signal.signal(signal.SIGUSR1, before)


def test_fields_are_those_that_are_known_and_extras_are_keys_of_their_own(told: Told) -> None:
    told.want(25)
    document = told.desk.stats()
    assert document["total_accounts"] == 1
    assert document["note"] == NOTE.format(default=10)
    account = document["accounts"]["a"]
    assert set(account) >= FIELDS
    assert account["account_id"] == "a" and account["total_connections"] == 3
    assert account["total_target_tokens"] == account["total_subscribed_tokens"] == 25
    assert account["total_capacity"] == 30
    assert account["statistics"] == {
        "total_connections_created": 3, "total_subscriptions": 25, "total_unsubscriptions": 0,
    }  # fmt: skip
    rows = account["connections"]
    assert all(set(row) >= CONNECTION_FIELDS for row in rows)
    assert sum(row["subscribed_tokens"] for row in rows) == 25
    for row in rows:
        percent = round(100 * row["subscribed_tokens"] / row["capacity"], 2)
        assert row["utilization_percent"] == percent
        assert row["available_capacity"] == row["capacity"] - row["subscribed_tokens"]
        assert row["connected"] is False
    assert account == told.desk.stats("a")


def test_what_waits_is_target_and_orphaned_and_not_subscribed(told: Told) -> None:
    told.want(30)
    ledger = told.pool.ledger
    ledger.join("u")
    ledger.add("u", {99: Want(99)})
    told.pool.turn(monotonic_ns())
    account = told.desk.stats("a")
    assert (account["total_target_tokens"], account["total_subscribed_tokens"]) == (31, 30)
    assert account["orphaned"] == 1
    assert told.desk.stats()["pool"]["orphaned"] == 1
    found = facts({"default": told.pool}, told.documents.watch)
    assert Why.CAPACITY.text in found["orphans", "pool", "default"].text


def test_a_mirrored_one_is_subscribed_once_and_told_while_it_has_one_half(told: Told) -> None:
    told.want(5)
    assert told.desk.stats()["pool"]["mirrored"] == 0
    told.pool.mirrors.wished.update((1, 2))
    told.pool.mirrors.look_again()
    told.pool.turn(monotonic_ns())
    assert told.pool.assigned.mirrors.keys() == {1, 2}
    account = told.desk.stats("a")
    assert (account["total_target_tokens"], account["total_subscribed_tokens"]) == (5, 5)
    assert [row["subscribed_tokens"] for row in account["connections"]] == [5, 2]
    found = told.desk.stats()["pool"]
    assert (found["mirrored"], found["mirrored_on_one"]) == (2, 2)  # nothing is live here
    told.pool.mirrors.refused = {1: Why.CAPACITY}
    fact = facts({"default": told.pool}, told.documents.watch)["mirror_single", "pool", "default"]
    assert fact.text.startswith("1 instruments") and Why.CAPACITY.text in fact.text


def test_a_connection_that_cannot_be_made_is_told(told: Told) -> None:
    told.want(30)
    now_ns = monotonic_ns()
    for half_second in range(1, 9):
        told.pool.turn(now_ns + half_second * NS_PER_S // 2)
    found = facts({"default": told.pool}, told.documents.watch)
    assert found["connection_missing", "connection 0", "default"].text.endswith(
        "10 instruments wait for it: 1, 2, 3, 4, 5 and 5 more"
    )


def test_a_connection_that_the_broker_gives_nothing_is_full(told: Told) -> None:
    told.want(25)
    told.pool.links[0].capacity = 0  # until the limit that the broker named is tried
    row = told.desk.stats("a")["connections"][0]
    assert (row["capacity"], row["utilization_percent"]) == (0, 100.0)


def test_unknown_and_lazy_accounts_have_texts_of_their_own(told: Told) -> None:
    texts = []
    for name in ("a", "b"):
        with pytest.raises(Refused) as caught:
            told.desk.stats(name)
        assert caught.value.problem.code == "not_found"
        texts.append(caught.value.problem.text)
    assert "no active WebSocket pool" in texts[0] and "known: a" in texts[1]


def test_a_connection_that_is_there_is_told_from_its_pages(told: Told) -> None:
    told.want(5)
    told.ground.open(0)
    told.pool.turn(monotonic_ns())
    assert told.desk.health()["status"] == "healthy"  # it has only just been opened
    told.pool.links[0].opened_mono_ns -= BIRTH_NS
    told.documents.follow(monotonic_ns(), every_ns=0)
    row = told.desk.stats("a")["connections"][0]
    assert row["modes"] == {"ltp": 0, "quote": 5, "full": 0}
    assert row["state"] == "IDLE" and row["hung"] and not row["connected"]
    assert row["wire_tokens"] == row["confirmed_tokens"] == 0
    assert row["health_score"] == 0.0 and row["last_error"] is None
    health = told.desk.health()
    assert (health["status"], health["health_percentage"]) == ("critical", 0.0)
    assert health["unhealthy_connections"] == [0] and health["is_critical"]
    assert told.desk.health(brief=True) == {"status": "critical"}


def test_a_pool_without_connections_is_well(told: Told) -> None:
    health = told.desk.health()
    assert health["is_healthy"] and health["health_percentage"] == 100.0


def test_every_question_has_an_answer(told: Told) -> None:
    told.want(3)
    for about, question in told.desk.questions().items():
        assert question(Ask(about=about)) is not None
    assert told.desk.questions()["distribution"](Ask(about="")) == {"a": {"0": [1, 2, 3]}}
