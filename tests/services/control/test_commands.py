"""What clients ask for, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.core.control import (
    Act,
    AnyRequest,
    Ask,
    Declare,
    Hello,
    Problem,
    SetMode,
    Subscribe,
    Unsubscribe,
)
from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority
from pipeline.services.control.commands import Commands
from pipeline.services.control.names import Stranger
from pipeline.services.control.windows import Expand, FollowPolicy, Windows
from tests.services.control.world import Rig, pool_config

CAP_10 = "instruments_per_connection = 10"


def no_window(form: str) -> Stranger:
    return Stranger(f"{form!r} is unknown")


class Desk:
    """A pool, its commands, and a client called "t"."""

    def __init__(self, *, expand: Expand | None = None, **options: Any) -> None:
        self.rig = Rig(pool_config(**options))
        self.ledger = self.rig.pool.ledger
        self.windows = Windows(self.rig.pool, expand or no_window, FollowPolicy())
        self.commands = Commands(
            self.rig.pool, resolve=_resolve, windows=self.windows, about={"instance": "x"},
            questions={"health": lambda request: "well"},
            actions={"recycle": lambda request: request.connection},
        )  # fmt: skip
        self.ledger.join("t")

    def ask(self, request: AnyRequest, client: str = "t") -> Any:
        answer = self.commands.answer(client, request)
        assert answer.problem is None, answer.problem
        return answer.result

    def refused(self, request: AnyRequest) -> Problem:
        before = (dict(self.ledger.desired), dict(self.ledger.clients["t"].wants))
        answer = self.commands.answer("t", request)
        assert answer.problem is not None and answer.result is None
        assert before == (self.ledger.desired, self.ledger.clients["t"].wants)
        return answer.problem


def _resolve(names: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, Stranger]]:
    known = {"NSE:INFY": [408065], "two": [1, 2]}
    found = {name: known[name] for name in names if name in known}
    return found, {
        name: Stranger(f"{name!r} is unknown; near: NSE:INFY", ("NSE:INFY",))
        for name in names
        if name not in known
    }


def test_subscribing_says_what_was_taken() -> None:
    desk = Desk()
    found = desk.ask(Subscribe(instruments=[1, 2, 2, "3", "NSE:INFY", "two"], mode="full"))
    assert found["requested"] == found["accepted"] == 4
    assert found["refused"] == [] and found["already"] == 0
    assert {t: w.mode for t, w in desk.ledger.desired.items()} == dict.fromkeys(
        (1, 2, 3, 408065), Mode.FULL
    )
    assert desk.ask(Subscribe(instruments=[1, 5]))["already"] == 1


def test_answers_say_what_names_stand_for() -> None:
    desk = Desk()
    names = {"NSE:INFY": [408065]}
    assert desk.ask(Subscribe(instruments=["NSE:INFY", 2]))["tokens"] == names
    assert desk.ask(SetMode(instruments=["NSE:INFY"], mode="full"))["tokens"] == names
    assert desk.ask(Declare(wants={"ltp": ["NSE:INFY", "NSE:INFI", 3]}))["tokens"] == names
    assert desk.ask(Unsubscribe(instruments=["NSE:INFY", "NSE:INFI"]))["tokens"] == names
    assert desk.ask(Subscribe(instruments=[7]))["tokens"] == {}


def test_what_has_no_room_is_refused_whole_and_pollutes_nothing() -> None:
    desk = Desk(pool=CAP_10)
    problem = desk.refused(Subscribe(instruments=list(range(1, 32))))
    assert problem.code == "capacity"
    assert problem.detail == {
        "requested": 31, "accepted": 0, "available": 30, "refused_count": 1,
    }  # fmt: skip
    assert desk.ask(Subscribe(instruments=list(range(1, 31))))["accepted"] == 30


def test_or_taken_in_part_if_it_says_so() -> None:
    desk = Desk(pool=CAP_10)
    found = desk.ask(Subscribe(instruments=list(range(1, 32)), partial=True))
    assert (found["requested"], found["accepted"], found["refused_count"]) == (31, 30, 1)
    assert found["refused"][0]["why"] == "capacity"
    assert len(desk.ledger.desired) == 30


def test_of_many_that_are_refused_some_are_named_and_all_are_told() -> None:
    desk = Desk(pool=CAP_10)
    found = desk.ask(Subscribe(instruments=list(range(1, 1101)), partial=True))
    assert (found["accepted"], found["refused_count"], len(found["refused"])) == (30, 1070, 1000)
    assert found["refused_tokens"] == sorted(set(range(1, 1101)) - desk.ledger.desired.keys())
    found = desk.ask(Subscribe(instruments=list(range(1, 101)), partial=True))
    assert "refused_tokens" not in found


def test_room_taken_and_not_yet_placed_is_not_given_away_twice() -> None:
    desk = Desk(pool=CAP_10)
    desk.ask(Subscribe(instruments=list(range(1, 21))))
    assert desk.refused(Subscribe(instruments=list(range(21, 41)))).detail["available"] == 30
    desk.rig.turn()
    assert desk.refused(Subscribe(instruments=list(range(21, 41)))).detail["available"] == 10


def test_an_outage_refuses_nobody() -> None:
    desk = Desk(pool=f"redistribute_after_s = 0.1\n{CAP_10}")
    desk.ask(Subscribe(instruments=[1]))
    desk.rig.turn()
    desk.rig.world.down = {0}
    desk.rig.world.refuses = True
    desk.rig.turn(1.0)
    assert desk.ask(Subscribe(instruments=list(range(2, 31))))["accepted"] == 29


def test_a_dry_run_changes_nothing() -> None:
    desk = Desk(pool=CAP_10)
    found = desk.ask(Subscribe(instruments=list(range(1, 13)), dry_run=True))
    assert found["plan"]["opened"] == [
        {"account": "a", "seat": 0, "instruments": 10},
        {"account": "a", "seat": 1, "instruments": 2},
    ]
    assert desk.ledger.desired == {}


def test_a_declaration_is_the_whole_demand_in_the_highest_mode_named() -> None:
    desk = Desk()
    desk.ask(Subscribe(instruments=[1, 9], priority="hot"))
    found = desk.ask(Declare(wants={"full": [1], "ltp": [1, 2]}))
    assert found["accepted"] == 2
    assert {t: w.mode for t, w in desk.ledger.desired.items()} == {1: Mode.FULL, 2: Mode.LTP}
    assert desk.ledger.desired[1].priority is Priority.HOT


def test_a_declaration_takes_what_there_is_and_tells_the_rest() -> None:
    desk = Desk(pool=CAP_10)
    found = desk.ask(Declare(wants={"quote": [*range(1, 32), "NSE:INFI"]}))
    assert found["accepted"] == 30
    assert {refusal["why"] for refusal in found["refused"]} == {"capacity", "unknown"}


def test_modes_change_for_what_is_wanted_only() -> None:
    desk = Desk()
    desk.ask(Subscribe(instruments=[1], mode="ltp"))
    found = desk.ask(SetMode(instruments=[1, 2], mode="full"))
    assert (found["requested"], found["accepted"]) == (2, 1)
    assert [refusal["why"] for refusal in found["refused"]] == ["not_subscribed"]
    assert found["refused_count"] == 1
    assert desk.ledger.desired[1].mode is Mode.FULL and 2 not in desk.ledger.desired


def test_unsubscribing_passes_over_what_was_not_wanted() -> None:
    desk = Desk()
    desk.ask(Subscribe(instruments=[1, 2]))
    found = desk.ask(Unsubscribe(instruments=[2, 3, "no such"]))
    assert (found["requested"], found["removed"]) == (2, 1)
    assert [refusal["instrument"] for refusal in found["refused"]] == ["no such"]
    assert set(desk.ledger.desired) == {1}


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (Subscribe(instruments=[0]), "bad_request", "expected 1 to"),
        (Subscribe(instruments=[-5]), "bad_request", "expected 1 to"),
        (Subscribe(instruments=[2**32]), "bad_request", "expected 1 to"),
        (Subscribe(instruments=["9" * 5000]), "bad_request", "expected 1 to"),
        (Subscribe(instruments=["²"]), "unknown_instrument", "is unknown"),
        (Subscribe(instruments=[1], mode="FULL"), "bad_request", "expected ltp, quote, full"),
        (Subscribe(instruments=[1], priority="now"), "bad_request", "expected cold"),
        (
            Subscribe(instruments=[1], account="none"),
            "not_found",
            "key not found: 'none'; known: a",
        ),
        (Subscribe(instruments=[1], connection=7), "not_found", "there are: none"),
        (Subscribe(instruments=["NSE:INFI"]), "unknown_instrument", "near: NSE:INFY"),
        (SetMode(instruments=[1], mode=""), "bad_request", "expected ltp"),
        (Ask(about="weather"), "bad_request", "expected one of clients, health, subscriptions"),
        (Act(action="explode"), "bad_request", "expected one of recycle"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(
    request_: AnyRequest, code: str, text: str
) -> None:
    problem = Desk().refused(request_)
    assert problem.code == code and text in problem.text


def test_what_is_streamed_is_bound_to_no_place_that_never_was() -> None:
    desk = Desk()
    desk.ask(Subscribe(instruments=[1]))
    desk.rig.turn()
    assert desk.refused(Subscribe(instruments=[1], account="none")).code == "not_found"
    assert "there are: 0" in desk.refused(Subscribe(instruments=[1], connection=7)).text
    assert desk.ask(Subscribe(instruments=[1], connection=0))["already"] == 1
    desk.rig.pool.upkeep.recycle(0)
    desk.rig.turn(5.0)
    assert desk.rig.counts() == {1: 1}
    assert desk.ask(Subscribe(instruments=[1], connection=0))["already"] == 1  # it has been one
    desk.rig.pool.upkeep.recycle(1)
    desk.rig.turn(5.0)
    assert desk.rig.counts() == {2: 1}


def test_a_pin_moves_what_is_streamed_already() -> None:
    desk = Desk(keys=2, pool="headroom = 0.0\npolicy = 'first_fit'")
    desk.ask(Subscribe(instruments=[1, 2, 3]))
    desk.rig.turn(2.0)
    assert desk.rig.counts() == {0: 3}
    assert desk.ask(Subscribe(instruments=[2], account="b", dry_run=True))["already"] == 1
    desk.rig.turn(2.0)
    assert desk.rig.counts() == {0: 3}
    assert desk.ask(Subscribe(instruments=[2], account="b"))["already"] == 1
    desk.rig.turn(3.0)
    assert desk.rig.counts() == {0: 2, 1: 1} and desk.rig.pool.placement[2] == 1
    desk.ask(Subscribe(instruments=[3], connection=1))
    desk.rig.turn(3.0)
    assert desk.rig.counts() == {0: 1, 1: 2}
    desk.rig.check()


def test_what_others_add_can_be_asked_for() -> None:
    desk = Desk()
    assert desk.ask(Hello(client="t")) == {"instance": "x"}
    assert desk.ask(Ask(about="health")) == "well"
    assert desk.ask(Act(action="recycle", connection=3)) == 3


def test_lists_of_clients_and_subscriptions() -> None:
    desk = Desk()
    desk.ask(Subscribe(instruments=[1], mode="full"))
    desk.rig.turn()
    clients = {client["name"]: client for client in desk.ask(Ask(about="clients"))}
    assert clients["t"]["modes"] == {"ltp": 0, "quote": 0, "full": 1}
    assert desk.ask(Ask(about="subscriptions")) == [
        {
            "instrument_token": 1, "owner": "default", "mode": "full", "priority": "warm",
            "connection": 0, "mirror": None, "moving_to": None, "orphaned": False,
            "unplaced": None, "clients": ["t"],
        }
    ]  # fmt: skip


def test_what_nobody_delivers_is_named() -> None:
    desk = Desk(pool=f"connections_per_key = 1\nredistribute_after_s = 0.1\n{CAP_10}")
    desk.ask(Subscribe(instruments=[1, 2]))
    desk.rig.turn()
    desk.rig.world.down = {0}
    desk.rig.turn(1.0)
    desk.ask(Subscribe(instruments=[3]))
    desk.rig.turn()
    rows = desk.ask(Ask(about="subscriptions"))
    assert [row["instrument_token"] for row in rows if row["orphaned"]] == [1, 2, 3]
    assert [row["connection"] for row in rows] == [0, 0, None]
    assert rows[2]["unplaced"] is not None
