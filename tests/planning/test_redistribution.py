"""Where the instruments of lost and drained connections go."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.planning.policies import PlacementPolicy, Policy
from pipeline.planning.pool import KeyView, PoolView, Priority, Want, Why
from pipeline.planning.redistribution import (
    OutagePolicy,
    drain,
    judge_outage,
    redistribute,
    send_home,
)
from tests.planning.pools import connections, counts, key, policy

EVEN = PlacementPolicy()


def pool_of(*numbers: int, **fields: object) -> PoolView:
    placement: dict[int, int] = {}
    for number, count in enumerate(numbers):
        placement |= dict.fromkeys(range(1 + number * 10_000, 1 + number * 10_000 + count), number)
    pool = PoolView(
        keys=(key(connections_max=len(numbers)),),
        connections=connections(len(numbers)),
        placement=placement,
        wants={token: Want(token, priority=Priority(token % 4)) for token in placement},
    )
    return replace(pool, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [n for n in Policy if n is not Policy.MANUAL])
def test_c7_half_full_connections_take_all_of_a_lost_one(name: Policy) -> None:
    pool = pool_of(500, 500, 500)
    plan = redistribute({1}, pool, policy(name))
    assert len(plan.assign) == 500
    assert set(plan.assign.values()) <= {0, 2}
    assert (plan.refused, plan.open) == ((), ())


def test_c7_when_room_is_short_the_urgent_go_and_the_rest_are_orphans() -> None:
    pool = pool_of(900, 1000, 900)
    plan = redistribute({1}, pool, EVEN)
    moved = Counter(pool.wants[token].priority for token in plan.assign)
    assert moved == {Priority.CRITICAL: 200}
    assert len(plan.refused) == 800
    assert {refusal.why for refusal in plan.refused} == {Why.CAPACITY}


def test_c7_at_a_hundred_per_cent_all_are_orphans() -> None:
    plan = redistribute({0}, pool_of(1000, 1000, 1000), EVEN)
    assert (dict(plan.assign), len(plan.refused)) == ({}, 1000)


def test_a_key_with_a_connection_to_spare_replaces_the_lost_one() -> None:
    pool = pool_of(500)
    pool = replace(pool, keys=(key(connections_max=3),))
    plan = redistribute({0}, pool, EVEN)
    assert (len(plan.assign), len(plan.open)) == (500, 1)
    assert len(redistribute({0}, pool, EVEN, may_open=False).refused) == 500


def test_a_limited_key_fails_over_to_another_that_has_no_connection_yet() -> None:
    pool = pool_of(100, keys=(key(may_open=False), key("spare")))
    plan = redistribute({0}, pool, EVEN)
    assert [new.account for new in plan.open] == ["spare"]
    assert set(plan.assign.values()) == {-1}


def test_critical_ones_go_first_by_the_grace() -> None:
    grace = OutagePolicy()
    assert judge_outage(grace, 0) is Priority.CRITICAL
    assert judge_outage(grace, 3 * NS_PER_S - 1) is Priority.CRITICAL
    assert judge_outage(grace, 3 * NS_PER_S) is Priority.COLD
    assert judge_outage(OutagePolicy(critical_after_ns=1), 0) is None
    plan = redistribute({0}, pool_of(40, 0), EVEN, least=Priority.CRITICAL)
    assert len(plan.assign) == 10


def test_a_pin_to_the_lost_connection_yields_and_one_to_the_account_does_not() -> None:
    views = (*connections(2), *connections(1, account="other", first=2))
    pool = PoolView(
        keys=(key(), key("other")),
        connections=views,
        placement={1: 0, 2: 0, 3: 2},
        wants={1: Want(1, connection=0), 2: Want(2, account="main"), 3: Want(3, account="other")},
    )
    plan = redistribute({0, 2}, pool, EVEN, may_open=False)
    assert plan.assign == {1: 1, 2: 1}
    assert [refusal.token for refusal in plan.refused] == [3]


def test_manual_placement_stays_with_the_account() -> None:
    views = (*connections(2), *connections(1, account="other", first=2))
    pool = PoolView(
        keys=(key(), key("other")), connections=views,
        placement={1: 0}, wants={1: Want(1, connection=0)},
    )  # fmt: skip
    assert redistribute({0}, pool, policy(Policy.MANUAL)).assign == {1: 1}


@pytest.mark.parametrize("name", [Policy.LEAST_LOADED, Policy.MANUAL])
def test_a_pin_to_a_connection_that_was_replaced_binds_nobody(name: Policy) -> None:
    views = connections(2, first=5)
    pool = PoolView(
        keys=(key(),), connections=views, placement={1: 5}, wants={1: Want(1, connection=0)}
    )
    assert redistribute({5}, pool, policy(name)).assign == {1: 6}
    assert [move.target for move in drain(5, pool, policy(name)).moves] == [6]


def test_what_is_elsewhere_than_it_is_pinned_goes_home() -> None:
    pool = PoolView(
        keys=(key(), key("other")), connections=connections(2),
        placement=dict.fromkeys((1, 2, 3, 4, 5), 0),
        wants={
            1: Want(1, connection=1), 2: Want(2, account="main"), 3: Want(3, account="other"),
            4: Want(4, connection=9), 5: Want(5, connection=1),
        },
    )  # fmt: skip
    found = send_home((1, 2, 3, 4, 77), pool, EVEN)
    (new,) = found.plan.open
    assert {move.token: move.target for move in found.moves} == {1: 1, 3: new.ref}
    assert new.account == "other"
    assert [refusal.token for refusal in found.plan.refused] == [4]
    assert send_home((1,), replace(pool, moving={1: 1}), EVEN).moves == ()
    assert send_home((1,), replace(pool, mirrors={1: 1}), EVEN).moves == ()
    down = tuple(replace(view, usable=view.number != 0) for view in pool.connections)
    assert send_home((1,), replace(pool, connections=down), EVEN).moves == ()


def test_connections_of_the_same_decoder_come_first() -> None:
    pool = pool_of(300, 800, 0)
    decoders = (0, 0, 1)
    views = tuple(replace(v, decoder=d) for v, d in zip(pool.connections, decoders, strict=True))
    pool = replace(pool, connections=views, decoders=range(2))
    plan = redistribute({0}, pool, EVEN)
    assert Counter(plan.assign.values()) == {1: 200, 2: 100}


def test_draining_makes_moves_and_flags_those_between_decoders() -> None:
    pool = pool_of(300, 800, 0)
    decoders = (0, 0, 1)
    views = tuple(replace(v, decoder=d) for v, d in zip(pool.connections, decoders, strict=True))
    pool = replace(pool, connections=views, decoders=range(2))
    moves, plan = drain(0, pool, EVEN)
    assert {(m.source, m.target, m.break_before_make) for m in moves} == {
        (0, 1, False),
        (0, 2, True),
    }
    assert len(moves) == len(plan.assign) == 300


def test_draining_says_what_has_nowhere_to_go() -> None:
    moves, plan = drain(0, pool_of(1000, 600), EVEN)
    assert (len(moves), len(plan.refused)) == (400, 600)


def test_draining_may_open_a_successor() -> None:
    pool = replace(pool_of(10), keys=(KeyView(account="main", connections_max=2),))
    moves, plan = drain(0, pool, EVEN, may_open=True)
    assert {move.target for move in moves} == {plan.open[0].ref}
    assert counts(plan.assign) == [10]


def test_a_successor_takes_exactly_what_its_predecessor_had() -> None:
    pool = pool_of(300, 0, 0)
    moves, _ = drain(0, pool, EVEN, to={2})
    assert {move.token: move.target for move in moves} == dict.fromkeys(pool.placement, 2)


def test_what_is_under_way_is_left_to_its_move() -> None:
    pool = pool_of(10, 0, moving=dict.fromkeys(range(1, 4), 1))
    assert set(redistribute({0}, pool, EVEN).assign) == set(range(4, 11))
