"""Pins, groups and classes: what is to be together, and what is to be where."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pipeline.planning.placement import place
from pipeline.planning.policies import PlacementPolicy, Policy
from pipeline.planning.pool import (
    KeyView,
    PoolView,
    Priority,
    Refusal,
    Want,
    Why,
)
from tests.planning.pools import (
    applied,
    connections,
    counts,
    empty,
    key,
    policy,
    wants,
)

LAZY = PlacementPolicy()


def test_pins_hold_under_every_policy() -> None:
    views = (*connections(2, account="a"), *connections(2, account="b", first=2))
    pool = PoolView(keys=(key("a"), key("b")), connections=views)
    asked = [Want(1, connection=3), Want(2, account="b"), Want(3, account="a", connection=1)]
    for name in Policy:
        plan = place(asked, pool, policy(name))
        assert plan.assign[1] == 3
        assert plan.assign[2] in (2, 3)
        assert plan.assign[3] == 1


def test_pins_that_cannot_be_kept_are_refused_by_name() -> None:
    views = connections(2, account="a", capacity=1)
    pool = PoolView(
        keys=(key("a"), key("b")),
        connections=(views[0], replace(views[1], usable=False)),
        placement={100: 0},
    )
    asked = [
        Want(1, connection=9),
        Want(2, account="c"),
        Want(3, account="b", connection=0),
        Want(4, connection=1),
        Want(5, connection=0),
    ]
    reasons = [refusal.why for refusal in place(asked, pool, LAZY).refused]
    assert sorted(reasons) == sorted([
        Why.UNKNOWN_CONNECTION,
        Why.UNKNOWN_ACCOUNT,
        Why.PIN_CONFLICT,
        Why.PIN_UNAVAILABLE,
        Why.CAPACITY,
    ])  # fmt: skip


def test_b24_manual_places_only_what_is_pinned() -> None:
    pool = empty(key("a"), key("b"))
    plan = place([Want(1), Want(2, account="b")], pool, policy(Policy.MANUAL))
    assert plan.refused == (Refusal(1, Why.NOT_PINNED),)
    assert [new.account for new in plan.open] == ["b"]
    assert plan.assign == {2: -1}


def test_affinity_keeps_a_group_on_one_connection() -> None:
    placement = {1000 + n: n % 3 for n in range(300)}
    pool = PoolView(keys=(key(),), connections=connections(3), placement=placement)
    asked = [Want(n, group=f"g{n % 4}") for n in range(1, 401)]
    pool = applied(pool, place(asked, pool, policy(Policy.AFFINITY)), asked)
    places = {(want.group, pool.placement[want.instrument_token]) for want in asked}
    assert len(places) == 4
    late = [Want(900, group="g2")]
    plan = place(late, pool, policy(Policy.AFFINITY))
    assert ("g2", plan.assign[900]) in places


def test_a_group_that_fits_nowhere_is_split_rather_than_refused() -> None:
    pool = empty(key(capacity=100))
    plan = place(wants(250, group="big"), pool, policy(Policy.AFFINITY))
    assert counts(plan.assign) == [100, 100, 50]
    assert plan.refused == ()


def test_a_member_with_an_account_of_its_own_goes_there() -> None:
    views = (*connections(1, account="a"), *connections(1, account="b", first=1))
    pool = PoolView(keys=(key("a"), key("b")), connections=views)
    asked = [Want(1, group="g"), Want(2, group="g", account="b"), Want(3, group="g", account="a")]
    assert place(asked, pool, policy(Policy.AFFINITY)).assign == {1: 0, 2: 1, 3: 0}


def test_a_group_that_is_split_anyway_opens_nothing_while_there_is_room() -> None:
    pool = PoolView(keys=(key(capacity=100),), connections=connections(2, capacity=100))
    pool = replace(pool, placement=dict.fromkeys(range(1000, 1040), 1))
    plan = place(wants(150, group="big"), pool, policy(Policy.AFFINITY))
    assert Counter(plan.assign.values()) == {0: 100, 1: 50}
    assert plan.open == ()


def test_a_group_follows_its_pinned_member_even_if_placement_is_manual() -> None:
    pool = PoolView(keys=(key(),), connections=connections(3))
    asked = [Want(1, group="pair"), Want(2, group="pair", connection=2), Want(3, group="other")]
    plan = place(asked, pool, policy(Policy.MANUAL))
    assert plan.assign == {1: 2, 2: 2}
    assert plan.refused == (Refusal(3, Why.NOT_PINNED),)


FYERS = KeyView(
    account="fyers", broker="fyers-legacy", connections_max=10, instruments_per_connection=200
)
UPSTOX = KeyView(
    account="upstox", broker="upstox", connections_max=1, instruments_per_connection=5000
)
ROUTES = {
    Priority.CRITICAL: ("fyers-legacy", "upstox"),
    Priority.HOT: ("fyers-legacy", "upstox"),
    Priority.WARM: ("upstox",),
    Priority.COLD: ("upstox",),
}
BY_CLASS = policy(Policy.CLASS_ROUTE, routes=ROUTES)


def test_c1_hot_ones_go_to_the_small_sockets_and_cold_ones_to_the_big() -> None:
    asked = [
        *wants(450, priority=Priority.HOT),
        *wants(1000, first=1000, priority=Priority.COLD),
    ]
    plan = place(asked, empty(FYERS, UPSTOX), BY_CLASS)
    accounts = {new.ref: new.account for new in plan.open}
    sizes = Counter(plan.assign.values())
    assert sorted((accounts[ref], n) for ref, n in sizes.items()) == [
        ("fyers", 50),
        ("fyers", 200),
        ("fyers", 200),
        ("upstox", 1000),
    ]


@pytest.mark.parametrize(("hot", "sockets"), [(0, 0), (1, 1), (200, 1), (201, 2), (401, 3)])
def test_c2_as_many_sockets_as_are_routed_there(hot: int, sockets: int) -> None:
    asked = [*wants(hot, priority=Priority.HOT), *wants(300, first=1000, priority=Priority.COLD)]
    plan = place(asked, empty(FYERS, UPSTOX), BY_CLASS)
    assert sum(new.account == "fyers" for new in plan.open) == sockets


def test_k21_what_overflows_spills_and_nothing_is_lost() -> None:
    small = replace(FYERS, connections_max=3)
    plan = place(wants(700, priority=Priority.HOT), empty(small, UPSTOX), BY_CLASS)
    accounts = {new.ref: new.account for new in plan.open}
    assert Counter(accounts[ref] for ref in plan.assign.values()) == {"fyers": 600, "upstox": 100}
    assert plan.refused == ()


def test_a_route_is_all_that_its_class_may_use() -> None:
    small = replace(UPSTOX, instruments_per_connection=100)
    plan = place(wants(101, priority=Priority.COLD), empty(FYERS, small), BY_CLASS)
    assert [refusal.why for refusal in plan.refused] == [Why.CAPACITY]
    nowhere = policy(Policy.CLASS_ROUTE, routes={Priority.HOT: ("unknown",)})
    plan = place(wants(1, priority=Priority.HOT), empty(FYERS), nowhere)
    assert [refusal.why for refusal in plan.refused] == [Why.NO_ROUTE]


def test_c5_a_second_call_goes_on_where_the_first_ended() -> None:
    pool = empty(FYERS, UPSTOX)
    for first in (1, 151):
        asked = wants(150, first=first, priority=Priority.HOT)
        pool = applied(pool, place(asked, pool, BY_CLASS), asked)
    assert counts(pool.placement) == [200, 100]


def test_the_urgent_are_served_first() -> None:
    pool = empty(key(capacity=2, connections_max=1))
    asked = [Want(n, priority=Priority(n)) for n in range(4)]
    plan = place(asked, pool, LAZY)
    assert set(plan.assign) == {Priority.CRITICAL, Priority.HOT}
