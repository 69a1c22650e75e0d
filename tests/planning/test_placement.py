"""Placement by every policy, with the numbers of the systems that came before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pipeline.core.enums import Mode
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy, Spread
from pipeline.planning.pool import (
    KeyView,
    LimitScope,
    ModeLimit,
    PoolView,
    Priority,
    Refusal,
    Want,
    Why,
)
from tests.planning.pools import applied, connections, counts, empty, exceeded, key, policy, wants

LAZY = PlacementPolicy()
FIRST_FIT = policy(Policy.FIRST_FIT)
ROUND_ROBIN = policy(Policy.ROUND_ROBIN, Growth.ALL)
UNPINNED = [name for name in Policy if name is not Policy.MANUAL]


def of(plan_assign: dict[int, int], tokens: range) -> list[int]:
    return counts({token: plan_assign[token] for token in tokens})


# --- growth, gaps, ceilings -----------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in UNPINNED if n is not Policy.HASH])
def test_a3_connections_open_when_those_before_are_full(name: Policy) -> None:
    plan = place(wants(2500), empty(), policy(name))
    assert counts(plan.assign) == [1000, 1000, 500]
    assert [new.seat for new in plan.open] == [0, 1, 2]


def test_a2_nothing_opens_before_something_is_wanted() -> None:
    for growth in Growth:
        assert place([], empty(), policy(Policy.LEAST_LOADED, growth)).open == ()
    assert len(place(wants(1), empty(), LAZY).open) == 1


def test_a4_first_fit_lets_a_request_straddle() -> None:
    pool = empty(key("a"), key("b"))
    underlyings = {"NIFTY": range(1, 1201), "BANKNIFTY": range(1201, 2401)}
    underlyings["FINNIFTY"] = range(2401, 3201)
    for tokens in underlyings.values():
        asked = [Want(token) for token in tokens]
        pool = applied(pool, place(asked, pool, FIRST_FIT), asked)
    parts = {name: of(dict(pool.placement), tokens) for name, tokens in underlyings.items()}
    assert parts == {"NIFTY": [1000, 200], "BANKNIFTY": [800, 400], "FINNIFTY": [600, 200]}
    assert counts(pool.placement) == [1000, 1000, 1000, 200]
    assert [view.account for view in pool.connections] == ["a", "a", "a", "b"]


@pytest.mark.parametrize("name", UNPINNED)
def test_a5_gaps_are_filled_before_anything_opens(name: Policy) -> None:
    asked = wants(1500)
    pool = applied(empty(), place(asked, empty(), policy(name)), asked)
    kept = {token: n for token, n in pool.placement.items() if token > 600}
    pool = replace(pool, placement=kept)
    plan = place(wants(400, first=2000), pool, policy(name))
    assert plan.open == ()
    assert len(plan.assign) == 400
    assert len(pool.placement) + len(plan.assign) == 1300


def test_a6_a_refusal_names_what_was_asked_and_what_there_is() -> None:
    pool = empty(key(capacity=10))
    plan = place(wants(31), pool, LAZY, all_or_nothing=True)
    assert (plan.requested, plan.accepted, plan.available) == (31, 0, 30)
    assert (dict(plan.assign), plan.open) == ({}, ())
    assert Counter(refusal.why for refusal in plan.refused) == {
        Why.CAPACITY: 1,
        Why.OTHERS_REFUSED: 30,
    }
    assert place(wants(30), pool, LAZY, all_or_nothing=True).accepted == 30


def test_a7_what_has_a_place_keeps_it() -> None:
    asked = wants(10)
    pool = applied(empty(), place(asked, empty(), LAZY), asked)
    plan = place([*asked, *wants(2, first=50), *asked], pool, LAZY)
    assert (plan.kept, plan.requested, sorted(plan.assign)) == (10, 12, [50, 51])


def test_a17_accounts_take_turns_and_keep_what_they_had() -> None:
    pool = empty(key("a"), key("b"))
    plan = place(wants(100), pool, LAZY)
    accounts = {new.ref: new.account for new in plan.open}
    homes = {token: accounts[ref] for token, ref in plan.assign.items()}
    assert Counter(homes.values()) == {"a": 50, "b": 50}
    again = place(reversed(wants(100)), pool, LAZY, homes=homes)
    accounts = {new.ref: new.account for new in again.open}
    assert {token: accounts[ref] for token, ref in again.assign.items()} == homes


def test_a18_a_limited_key_opens_nothing_and_the_next_one_serves() -> None:
    pool = empty(key("a", may_open=False), key("b"))
    plan = place(wants(100), pool, LAZY)
    assert [new.account for new in plan.open] == ["b"]
    assert len(plan.assign) == 100
    shut = place(wants(2), empty(key("a", may_open=False)), LAZY)
    assert {refusal.why for refusal in shut.refused} == {Why.NO_CONNECTION}


# --- filters --------------------------------------------------------------------------------


def test_draining_and_lost_connections_take_nothing_but_count() -> None:
    first, second, third = connections(3)
    views = (replace(first, draining=True), replace(second, usable=False), third)
    pool = PoolView(keys=(key(),), connections=views)
    plan = place(wants(1500), pool, LAZY)
    assert Counter(plan.assign.values()) == {2: 1000}
    assert {refusal.why for refusal in plan.refused} == {Why.CAPACITY}
    assert plan.available == 1000


def test_an_unhealthy_connection_is_the_last_resort_or_none() -> None:
    first, second = connections(2)
    pool = PoolView(
        keys=(key(connections_max=2),), connections=(replace(first, health=49.0), second)
    )
    plan = place(wants(1100), pool, LAZY)
    assert Counter(plan.assign.values()) == {1: 1000, 0: 100}
    strict = place(wants(1100), pool, replace(LAZY, unhealthy_last=False))
    assert Counter(strict.assign.values()) == {1: 1000}
    assert {refusal.why for refusal in strict.refused} == {Why.UNHEALTHY}


def test_before_the_last_resort_a_new_connection_is_opened() -> None:
    pool = PoolView(keys=(key(),), connections=connections(1, health=10.0))
    plan = place(wants(5), pool, LAZY)
    assert set(plan.assign.values()) == {-1}


def test_k16_a_limit_of_the_key_is_not_raised_by_more_connections() -> None:
    fyers = key("fyers", capacity=5000, instruments_per_key=5000)
    plan = place(wants(6000), empty(fyers), ROUND_ROBIN)
    assert len(plan.assign) == 5000
    assert {refusal.why for refusal in plan.refused} == {Why.KEY_LIMIT}
    assert plan.available == 5000


V3 = {
    Mode.LTP: ModeLimit(5000, 2000),
    Mode.QUOTE: ModeLimit(3000, 2000),
    Mode.FULL: ModeLimit(2000, 1500),
}


@pytest.mark.parametrize("scope", LimitScope)
def test_k17_modes_have_limits_alone_and_combined(scope: LimitScope) -> None:
    pool = empty(key(capacity=9000, connections_max=1, mode_limits=V3, mode_scope=scope))
    alone = place(wants(5001, mode=Mode.LTP), pool, LAZY)
    assert [refusal.why for refusal in alone.refused] == [Why.MODE_LIMIT]
    mixed = [*wants(1000, mode=Mode.FULL), *wants(2500, first=5000, mode=Mode.LTP)]
    plan = place(mixed, pool, LAZY)
    assert len(plan.assign) == 3000
    assert exceeded(applied(pool, plan, mixed)) == []


def test_a_mode_change_beyond_its_limit_leaves_the_instrument_as_it_is() -> None:
    limits = {Mode.FULL: ModeLimit(1, 1)}
    pool = PoolView(
        keys=(key(mode_limits=limits),),
        connections=connections(1),
        placement={1: 0, 2: 0},
        wants={1: Want(1, Mode.FULL), 2: Want(2, Mode.LTP)},
    )
    plan = place([Want(2, Mode.FULL)], pool, LAZY)
    assert plan.refused == (Refusal(2, Why.MODE_LIMIT),)
    swapped = place([Want(1, Mode.LTP), Want(2, Mode.FULL)], pool, LAZY)
    assert (swapped.refused, swapped.kept) == ((), 2)


def test_modes_and_exchanges_that_no_key_has_are_refused() -> None:
    pool = empty(key(modes=frozenset({Mode.LTP}), exchanges=frozenset({"NSE"})))
    asked = [Want(1, Mode.FULL), Want(2, Mode.LTP, exchange="MCX"), Want(3, Mode.NONE)]
    asked += [Want(4, Mode.LTP, exchange="NSE"), Want(5, Mode.LTP)]
    plan = place(asked, pool, LAZY)
    assert {r.token: r.why for r in plan.refused} == dict.fromkeys((1, 2, 3), Why.UNSUPPORTED)
    assert set(plan.assign) == {4, 5}


def test_instruments_under_way_count_on_both_sides() -> None:
    pool = PoolView(
        keys=(key(capacity=10, connections_max=2),),
        connections=connections(2, capacity=10),
        placement=dict.fromkeys(range(100, 110), 0),
        moving=dict.fromkeys(range(100, 105), 1),
    )
    assert len(place(wants(10), pool, LAZY).assign) == 5


def test_a_placement_on_a_connection_that_is_gone_is_none() -> None:
    pool = PoolView(keys=(key(),), connections=connections(1), placement={1: 7})
    assert place([Want(1)], pool, LAZY).assign == {1: 0}


def test_a_connection_of_an_unknown_account_is_a_mistake() -> None:
    pool = PoolView(keys=(key("a"),), connections=connections(1, account="b"))
    with pytest.raises(ValueError, match="'b'.*keys: a"):
        place(wants(1), pool, LAZY)


def test_spread_can_be_chosen_apart_from_the_policy() -> None:
    pool = empty(key("a", capacity=10), key("b", capacity=10))
    filled = place(wants(5), pool, replace(LAZY, spread=Spread.FILL))
    assert [new.account for new in filled.open] == ["a"]
    shared = place(wants(6), pool, replace(FIRST_FIT, spread=Spread.ROUND_ROBIN))
    assert counts(shared.assign) == [3, 3]


REST = [pytest.param(n, marks=pytest.mark.full) for n in Policy if n is not Policy.LEAST_LOADED]


@pytest.mark.parametrize("name", [Policy.LEAST_LOADED, *REST])
def test_a_hundred_thousand_instruments_find_their_places(name: Policy) -> None:
    pool = PoolView(keys=tuple(KeyView(account=f"key-{n}") for n in range(12)))
    asked = [Want(n, priority=Priority(n % 4), account=f"key-{n % 12}") for n in range(100_000)]
    if name is not Policy.MANUAL:
        asked = [want._replace(account=None) for want in asked]
    plan = place(asked, pool, policy(name, Growth.ALL))
    assert (len(plan.assign), plan.refused) == (100_000, ())
    assert len(plan.open) == 36
    assert max(Counter(plan.assign.values()).values()) <= 3000


def test_every_reason_has_a_sentence() -> None:
    for why in Why:
        assert why.text
