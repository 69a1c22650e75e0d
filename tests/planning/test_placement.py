"""Placement by every policy, with the numbers of the systems that came before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enums import Mode
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy, Spread
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    LimitScope,
    ModeLimit,
    PoolView,
    Priority,
    Refusal,
    Turn,
    Want,
    Why,
)
from tests.planning.pools import applied, connections, counts, exceeded, key, policy, wants

LAZY = PlacementPolicy()
FIRST_FIT = policy(Policy.FIRST_FIT)
ROUND_ROBIN = policy(Policy.ROUND_ROBIN, Growth.ALL)
EVEN = (Policy.ROUND_ROBIN, Policy.LEAST_LOADED, Policy.AFFINITY, Policy.WEIGHTED, Policy.LATENCY)
UNPINNED = [name for name in Policy if name is not Policy.MANUAL]


def empty(*keys: KeyView) -> PoolView:
    return PoolView(keys=keys or (key(),))


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


# --- round robin ----------------------------------------------------------------------------


def test_b2_round_robin_gives_a_thousand_each() -> None:
    plan = place(wants(3000), empty(key(capacity=3000)), ROUND_ROBIN)
    assert counts(plan.assign) == [1000, 1000, 1000]
    assert counts(place(wants(10), empty(), ROUND_ROBIN).assign) == [4, 3, 3]


def test_b3_the_9001st_alone_is_refused() -> None:
    plan = place(wants(9001), empty(key(capacity=3000)), ROUND_ROBIN)
    assert len(plan.assign) == 9000
    assert plan.refused == (Refusal(9001, Why.CAPACITY),)
    assert plan.available == 9000


@pytest.mark.parametrize("growth", Growth)
def test_r5_two_connections_of_each_key_share_evenly(growth: Growth) -> None:
    one = PoolView(keys=(key(connections_max=2),), connections=connections(2))
    assert counts(place(wants(600), one, policy(Policy.ROUND_ROBIN, growth)).assign) == [300, 300]
    keys = (key("a", connections_max=2), key("b", connections_max=2))
    views = (*connections(2, account="a"), *connections(2, account="b", first=2))
    two = PoolView(keys=keys, connections=views)
    plan = place(wants(600), two, policy(Policy.ROUND_ROBIN, growth))
    assert counts(plan.assign) == [150, 150, 150, 150]


def test_turns_go_on_over_calls_restarts_and_closed_connections() -> None:
    pool = PoolView(keys=(key(),), connections=connections(3))
    plan = place(wants(1), pool, ROUND_ROBIN)
    assert plan.assign == {1: 0}
    plan = place(wants(1, first=2), pool, ROUND_ROBIN, turn=plan.turn)
    assert plan.assign == {2: 1}
    gone = replace(pool, connections=(pool.connections[0], pool.connections[2]))
    assert place(wants(1, first=3), gone, ROUND_ROBIN, turn=plan.turn).assign == {3: 2}


@given(count=st.integers(0, 900), size=st.integers(1, 5), name=st.sampled_from(EVEN))
def test_counts_differ_by_one_at_most(count: int, size: int, name: Policy) -> None:
    pool = PoolView(keys=(key(connections_max=size),), connections=connections(size))
    found = Counter(place(wants(count), pool, policy(name)).assign.values())
    sizes = [found[number] for number in range(size)]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def test_a_full_pool_costs_nobody_the_turn() -> None:
    pool = PoolView(keys=(key(capacity=1),), connections=connections(3, capacity=1))
    full = replace(pool, placement={1: 0, 2: 1, 3: 2})
    turn = Turn({"main": 0})
    assert place(wants(5, first=10), full, ROUND_ROBIN, turn=turn).turn == turn


def test_turns_taken_by_new_connections_are_numbered_with_the_plan() -> None:
    plan = place(wants(2), empty(), ROUND_ROBIN)
    assert plan.turn.served == {"main": -2}
    numbered = plan.numbered({-1: 7, -2: 8, -3: 9})
    assert numbered.turn.served == {"main": 8}
    assert numbered.assign == {1: 7, 2: 8}


# --- least loaded, weighted, latency, hash ------------------------------------------------


def test_least_loaded_fills_where_a_hundred_left() -> None:
    asked = wants(600)
    placement = {want.instrument_token: want.instrument_token % 3 for want in asked}
    left = {t: n for t, n in placement.items() if n != 1 or t > 300}
    pool = PoolView(keys=(key(),), connections=connections(3), placement=left)
    assert counts(left) == [200, 100, 200]
    assert set(place(wants(100, first=5000), pool, LAZY).assign.values()) == {1}


def test_least_loaded_goes_by_the_share_of_the_capacity() -> None:
    views = (
        ConnectionView(number=0, account="main", capacity=1000),
        ConnectionView(number=1, account="main", capacity=500),
    )
    pool = PoolView(keys=(key(connections_max=2),), connections=views)
    assert counts(place(wants(900), pool, LAZY).assign) == [600, 300]


def byte_rates(assign: dict[int, int], rates: dict[int, float]) -> list[float]:
    loads: Counter[int] = Counter()
    for token, number in assign.items():
        loads[number] += rates[token] * 46  # type: ignore[assignment]
    return sorted(loads.values())


def test_weighted_evens_out_byte_rates_where_turns_do_not() -> None:
    rates = dict.fromkeys(range(1, 3001), 0.1) | {1 + 3 * n: 50.0 for n in range(10)}
    pool = PoolView(keys=(key(capacity=3000),), packet_rates=rates)
    spreads = {}
    for name in (Policy.WEIGHTED, Policy.ROUND_ROBIN):
        loads = byte_rates(dict(place(wants(3000), pool, policy(name, Growth.ALL)).assign), rates)
        spreads[name] = (loads[-1] - loads[0]) / (sum(loads) / 3)
    assert spreads[Policy.WEIGHTED] <= 0.10
    assert spreads[Policy.ROUND_ROBIN] > 0.30


def test_weighted_minds_modes_weights_and_what_is_there() -> None:
    views = (*connections(1), replace(connections(1, first=1)[0], weight=2.0, seat=1))
    pool = PoolView(keys=(key(connections_max=2),), connections=views)
    light = policy(Policy.WEIGHTED)
    assert counts(place(wants(300), pool, light).assign) == [100, 200]
    carries = replace(pool, placement={9000: 0}, wants={9000: Want(9000, Mode.FULL)})
    assert place(wants(1), carries, light).assign == {1: 1}
    measured = replace(pool, connections=(replace(views[0], byte_rate_per_s=1e6), views[1]))
    assert set(place(wants(50), measured, light).assign.values()) == {1}


def test_latency_avoids_the_slow_connection_while_others_have_room() -> None:
    ages = [1_000_000, 51_000_000, 1_100_000]
    views = tuple(
        replace(view, tick_age_p50_ns=age) for view, age in zip(connections(3), ages, strict=True)
    )
    pool = PoolView(keys=(key(),), connections=views)
    quick = policy(Policy.LATENCY)
    assert Counter(place(wants(1000), pool, quick).assign.values()) == {0: 500, 2: 500}
    assert Counter(place(wants(2100), pool, quick).assign.values()) == {0: 1000, 2: 1000, 1: 100}


def test_latency_sees_no_difference_within_its_hysteresis() -> None:
    views = tuple(
        replace(view, tick_age_p50_ns=age)
        for view, age in zip(connections(2), [10_000_000, 11_900_000], strict=True)
    )
    pool = PoolView(keys=(key(connections_max=2),), connections=views)
    assert counts(place(wants(10), pool, policy(Policy.LATENCY)).assign) == [5, 5]


def test_hash_finds_the_same_place_after_a_restart_in_any_order() -> None:
    hashed = policy(Policy.HASH, Growth.ALL)
    pool = empty(key("a", capacity=3000), key("b", capacity=3000))
    first = place(wants(9000), pool, hashed)
    again = place(reversed(wants(9000)), pool, hashed)
    assert first.assign == again.assign
    started = applied(pool, first, wants(9000))
    bare = replace(started, placement={}, wants={})
    assert place(wants(9000), bare, hashed).assign == started.placement


def test_hash_gives_a_fourth_connection_its_share_and_moves_nothing_else() -> None:
    hashed = policy(Policy.HASH)
    keys = (key(capacity=30_000, connections_max=4),)
    three, four = (
        place(wants(9000), PoolView(keys=keys, connections=connections(n, capacity=30_000)), hashed)
        for n in (3, 4)
    )
    moved = [token for token in three.assign if three.assign[token] != four.assign[token]]
    assert 0 < len(moved) <= 9000 * (1 / 4 + 0.05)
    assert {four.assign[token] for token in moved} == {3}


# --- pins, groups, classes ------------------------------------------------------------------


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
