"""What each policy chooses: turns, shares, loads, ages, hashes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enums import Mode
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import (
    ConnectionView,
    PoolView,
    Refusal,
    Turn,
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
ROUND_ROBIN = policy(Policy.ROUND_ROBIN, Growth.ALL)
EVEN = (Policy.ROUND_ROBIN, Policy.LEAST_LOADED, Policy.AFFINITY, Policy.WEIGHTED, Policy.LATENCY)


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


def test_b23_of_two_keys_the_18001st_alone_is_refused() -> None:
    keys = empty(key("a", capacity=3000), key("b", capacity=3000))
    plan = place(wants(18_001), keys, ROUND_ROBIN)
    assert (len(plan.assign), len(plan.open)) == (18_000, 6)
    assert plan.refused == (Refusal(18_001, Why.CAPACITY),)


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
