"""What people have the pool do, and what they are told."""

from __future__ import annotations

import pytest

from pipeline.core.control import Act
from pipeline.services.control.acts import actions_of
from pipeline.services.control.refused import Refused
from tests.services.control.world import Rig, pool_config

POOL = 'instruments_per_connection = 100\nopen = "all"\nheadroom = 0.0\nshrink_after_s = 0.0'


@pytest.fixture
def rig() -> Rig:
    rig = Rig(pool_config(pool=POOL))
    rig.want("a", range(1, 61))
    rig.turn()
    return rig


def test_a_rebalance_can_be_tried_first(rig: Rig) -> None:
    actions = actions_of(rig.pool)
    assert actions["rebalance"](Act(action="rebalance")) == {
        "planned": [], "done": True, "text": "the pool is in balance",
    }  # fmt: skip
    rig.pool.ledger.remove("a", list(rig.world.tables[0]))
    rig.turn()
    tried = actions["rebalance"](Act(action="rebalance", dry_run=True))
    assert not tried["done"] and sum(p["instruments"] for p in tried["planned"]) == 13
    rig.turn(2.0)
    assert rig.counts()[0] == 0
    actions["rebalance"](Act(action="rebalance"))
    rig.turn(2.0)
    assert sorted(rig.counts().values()) == [13, 13, 14]
    rig.check()


def test_drain_recycle_and_scale(rig: Rig) -> None:
    actions = actions_of(rig.pool)
    assert actions["drain"](Act(action="drain", connection=2))["text"] == (
        "20 instruments move, then connection 2 closes"
    )
    rig.turn(3.0)
    assert sorted(rig.counts()) == [0, 1]
    assert actions["recycle"](Act(action="recycle", connection=0))["done"]
    rig.turn(4.0)
    assert 0 not in rig.counts() and sum(rig.counts().values()) == 60
    assert actions["scale"](Act(action="scale", connections=3))["done"]
    rig.turn(3.0)
    assert len(rig.counts()) == 3
    rig.check()


def test_an_account_is_replaced_by_its_name(rig: Rig) -> None:
    recycle = actions_of(rig.pool)["recycle"]
    told = recycle(Act(action="recycle", account="a"))
    assert told["text"] == "3 connections of a will be replaced, one by one"
    with pytest.raises(Refused, match="known: a"):
        recycle(Act(action="recycle", account="b"))


def test_scaling_by_hand_ends_with_a_word(rig: Rig) -> None:
    actions = actions_of(rig.pool)
    actions["scale"](Act(action="scale", connections=2))
    assert rig.pool.upkeep.asked == 2
    assert "as many" in actions["scale"](Act(action="scale", connections="auto"))["text"]
    assert rig.pool.upkeep.asked is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Act(action="drain"), "bad_request"),
        (Act(action="recycle"), "bad_request"),
        (Act(action="scale"), "bad_request"),
        (Act(action="drain", connection=0, dry_run=True), "bad_request"),
        (Act(action="drain", connection=9), "not_found"),
        (Act(action="recycle", connection=-1), "not_found"),
        (Act(action="scale", connections=-1), "conflict"),
        (Act(action="scale", connections=10**9), "conflict"),
    ],
)
def test_what_cannot_be_done_is_refused(rig: Rig, request_: Act, code: str) -> None:
    with pytest.raises(Refused) as caught:
        actions_of(rig.pool)[request_.action](request_)
    problem = caught.value.problem
    assert problem.code == code
    if code == "conflict":
        assert problem.detail["accepted"] == 0
        assert problem.detail["requested"] > problem.detail["available"] or request_.connections
    rig.turn(2.0)
    assert rig.counts() == {0: 20, 1: 20, 2: 20}
