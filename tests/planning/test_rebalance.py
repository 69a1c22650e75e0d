"""Moves to the balance that each policy states, and no more of them than it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enums import Mode
from pipeline.planning.placement import place
from pipeline.planning.policies import PlacementPolicy, Policy
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    LimitScope,
    ModeLimit,
    Move,
    PoolView,
    Priority,
    Want,
)
from pipeline.planning.rebalance import rebalance
from tests.planning.pools import connections, counts, exceeded, key, policy, wants

EVEN = PlacementPolicy()


def loaded(*numbers: int, **fields: object) -> PoolView:
    """Return a pool whose connections carry so many instruments."""
    placement: dict[int, int] = {}
    for number, count in enumerate(numbers):
        first = 1 + number * 10_000
        placement |= dict.fromkeys(range(first, first + count), number)
    known = {token: Want(token) for token in placement}
    pool = PoolView(
        keys=(key(connections_max=len(numbers)),),
        connections=connections(len(numbers)),
        placement=placement,
        wants=known,
    )
    return replace(pool, **fields)  # type: ignore[arg-type]


def done(pool: PoolView, moves: Iterable[Move]) -> PoolView:
    """Return the pool after the moves, one after the other, each within every limit."""
    placement = dict(pool.placement)
    carried = Counter(placement.values())
    for move in moves:
        assert placement[move.token] == move.source
        view = pool.connection(move.target)
        assert view is not None
        assert carried[move.target] < view.capacity
        placement[move.token] = move.target
        carried[move.target] += 1
        carried[move.source] -= 1
    after = replace(pool, placement=placement)
    assert exceeded(after) == []
    return after


@pytest.mark.parametrize("name", [Policy.LEAST_LOADED, Policy.ROUND_ROBIN, Policy.AFFINITY])
def test_counts_even_out_by_the_fewest_moves(name: Policy) -> None:
    pool = loaded(900, 100, 201)
    moves = rebalance(pool, policy(name))
    assert len(moves) == 900 - 401
    assert sorted(counts(done(pool, moves).placement)) == [400, 400, 401]
    assert rebalance(done(pool, moves), policy(name)) == []


@pytest.mark.parametrize("name", Policy)
def test_what_is_balanced_does_not_move(name: Policy) -> None:
    pool = loaded(4, 3, 3) if name is not Policy.HASH else loaded(0, 0, 0)
    assert rebalance(pool, policy(name)) == []


@pytest.mark.parametrize("name", [Policy.FIRST_FIT, Policy.MANUAL, Policy.CLASS_ROUTE])
def test_packing_has_no_balance_to_return_to(name: Policy) -> None:
    assert rebalance(loaded(900, 10, 0), policy(name)) == []


def test_the_least_urgent_move() -> None:
    pool = loaded(10, 0)
    known = {token: Want(token, priority=Priority(token % 4)) for token in pool.placement}
    moves = rebalance(replace(pool, wants=known), EVEN)
    assert [known[move.token].priority for move in moves] == [0, 0, 1, 1, 1]


def test_a_connection_that_returns_gets_its_share_back() -> None:
    pool = loaded(750, 750, 0)
    moves = rebalance(pool, EVEN)
    assert {move.target for move in moves} == {2}
    assert counts(done(pool, moves).placement) == [500, 500, 500]


def test_connections_that_are_lost_or_drain_take_no_part() -> None:
    pool = loaded(600, 0, 0, 0)
    views = pool.connections
    views = (views[0], replace(views[1], usable=False), replace(views[2], draining=True), views[3])
    moves = rebalance(replace(pool, connections=views), EVEN)
    assert Counter(move.target for move in moves) == {3: 300}


def test_moves_stay_with_a_decoder_unless_asked_and_are_flagged_then() -> None:
    pool = loaded(800, 200, 0, 0)
    decoders = (0, 0, 1, 1)
    views = tuple(replace(v, decoder=d) for v, d in zip(pool.connections, decoders, strict=True))
    pool = replace(pool, connections=views, decoders=range(2))
    moves = rebalance(pool, EVEN)
    assert counts(done(pool, moves).placement) == [500, 500]
    moves = rebalance(pool, EVEN, across_decoders=True)
    assert all(move.break_before_make == (move.target > 1) for move in moves)
    assert counts(done(pool, moves).placement) == [250, 250, 250, 250]


def test_connections_of_the_same_decoder_take_first() -> None:
    pool = loaded(90, 0, 0)
    views = tuple(replace(v, decoder=d) for v, d in zip(pool.connections, (0, 1, 0), strict=True))
    moves = rebalance(replace(pool, connections=views), EVEN, across_decoders=True)
    assert [move.target for move in moves] == [2] * 30 + [1] * 30


def test_an_unhealthy_connection_neither_gives_nor_takes() -> None:
    pool = loaded(90, 10, 20)
    views = (*pool.connections[:2], replace(pool.connections[2], health=49.0))
    assert counts(done(pool, rebalance(replace(pool, connections=views), EVEN)).placement) == [
        50,
        50,
        20,
    ]


def test_a_full_mode_takes_no_more() -> None:
    limits = {Mode.FULL: ModeLimit(3, 3)}
    pool = loaded(10, 0, keys=(key(mode_limits=limits, mode_scope=LimitScope.CONNECTION),))
    known = {t: Want(t, Mode.FULL if t < 4 else Mode.QUOTE) for t in pool.placement}
    known |= {20_000: Want(20_000, Mode.FULL)}
    pool = replace(pool, wants=known, placement=pool.placement | {20_000: 1})
    assert counts(done(pool, rebalance(pool, EVEN)).placement) == [6, 5]


def test_pinned_ones_stay_and_strayed_ones_go_home() -> None:
    pool = loaded(6, 0)
    known = {token: Want(token, connection=0) for token in pool.placement}
    assert rebalance(replace(pool, wants=known), EVEN) == []
    strayed = replace(pool, wants=known | {3: Want(3, connection=1)})
    for name in Policy:
        assert rebalance(strayed, policy(name)) == [Move(3, 0, 1)]


def test_an_account_pin_bounds_the_moves() -> None:
    views = (*connections(1, account="a"), *connections(2, account="b", first=1))
    placement = dict.fromkeys(range(1, 31), 1)
    pool = PoolView(
        keys=(key("a"), key("b")), connections=views, placement=placement,
        wants={token: Want(token, account="b") for token in placement},
    )  # fmt: skip
    moves = rebalance(pool, EVEN)
    assert {move.target for move in moves} == {2}


def test_groups_are_left_together() -> None:
    pool = loaded(10, 0)
    known = {token: Want(token, group="all") for token in pool.placement}
    assert rebalance(replace(pool, wants=known), policy(Policy.AFFINITY)) == []


def test_what_is_under_way_is_left_alone() -> None:
    pool = loaded(10, 0, moving=dict.fromkeys(range(1, 6), 1))
    assert not {move.token for move in rebalance(pool, EVEN)} & set(range(1, 6))


def test_weighted_moves_a_few_heavy_ones() -> None:
    pool = loaded(1000, 1000, 1000)
    rates = dict.fromkeys(pool.placement, 0.1) | dict.fromkeys(range(1, 11), 50.0)
    pool = replace(pool, packet_rates=rates)
    weighted = policy(Policy.WEIGHTED)
    pool = replace(pool, keys=(replace(pool.keys[0], instruments_per_connection=3000),))
    views = tuple(replace(view, capacity=3000) for view in pool.connections)
    pool = replace(pool, connections=views)
    moves = rebalance(pool, weighted)
    loads: Counter[int] = Counter()
    for token, number in done(pool, moves).placement.items():
        loads[number] += rates[token] * 46  # type: ignore[assignment]
    values = loads.values()
    assert max(values) - min(values) <= 0.10 * sum(values) / 3
    assert len({move.token for move in moves}) == len(moves)
    assert rebalance(done(pool, moves), weighted) == []


@given(heavy=st.lists(st.floats(1, 20), max_size=60), where=st.randoms(use_true_random=False))
def test_weighted_reaches_a_tenth_where_no_single_one_is_too_heavy(
    heavy: list[float], where: Random
) -> None:
    rates = dict(enumerate([1.0] * 1200 + heavy, 1))
    placement = {token: where.choice((0, 0, 0, 1, 2)) for token in rates}
    pool = PoolView(
        keys=(key(capacity=3000),), connections=connections(3), placement=placement,
        packet_rates=rates,
    )  # fmt: skip
    weighted = policy(Policy.WEIGHTED)
    after = done(pool, rebalance(pool, weighted))
    loads = [sum(r for t, r in rates.items() if after.placement[t] == n) for n in range(3)]
    assert max(loads) - min(loads) <= 0.10 * sum(loads) / 3
    assert rebalance(after, weighted) == []


def test_hash_moves_only_what_the_new_connection_wins() -> None:
    keys = (KeyView(account="main", connections_max=4, instruments_per_connection=9000),)
    hashed = policy(Policy.HASH)
    views = tuple(replace(v, capacity=9000) for v in connections(4))
    pool = PoolView(keys=keys, connections=views[:3])
    pool = replace(pool, placement=dict(place(wants(9000), pool, hashed).assign))
    assert rebalance(pool, hashed) == []
    pool = replace(pool, connections=views)
    moves = rebalance(pool, hashed)
    assert {move.target for move in moves} == {3}
    assert len(moves) <= 9000 * 0.30
    assert rebalance(done(pool, moves), hashed) == []


def test_latency_evens_out_the_fast_and_leaves_the_slow() -> None:
    pool = loaded(90, 10, 50)
    views = tuple(
        replace(view, tick_age_p50_ns=age)
        for view, age in zip(pool.connections, (2_000_000, 2_100_000, 9_000_000), strict=True)
    )
    pool = replace(pool, connections=views)
    assert counts(done(pool, rebalance(pool, policy(Policy.LATENCY))).placement) == [50, 50, 50]


def test_class_route_returns_to_the_preferred_account() -> None:
    views = (
        ConnectionView(number=0, account="a", capacity=100),
        ConnectionView(number=1, account="b", capacity=100),
    )
    known = {n: Want(n, priority=Priority.HOT if n % 2 else Priority.COLD) for n in range(1, 41)}
    pool = PoolView(
        keys=(key("a"), key("b")), connections=views, wants=known,
        placement=dict.fromkeys(known, 1),
    )  # fmt: skip
    routed = policy(Policy.CLASS_ROUTE, routes={Priority.HOT: ("a", "b"), Priority.COLD: ("b",)})
    moves = rebalance(pool, routed)
    assert {(move.token % 2, move.target) for move in moves} == {(1, 0)}
    assert len(moves) == 20


def test_class_route_serves_the_urgent_first_where_room_is_short() -> None:
    views = (*connections(1, account="a", capacity=5), *connections(1, account="b", first=1))
    known = {n: Want(n, priority=Priority(n % 4)) for n in range(1, 41)}
    pool = PoolView(
        keys=(key("a"), key("b")), connections=views, wants=known,
        placement=dict.fromkeys(known, 1),
    )  # fmt: skip
    routed = policy(Policy.CLASS_ROUTE, routes=dict.fromkeys(Priority, ("a", "b")))
    moves = rebalance(pool, routed)
    assert [known[move.token].priority for move in moves] == [Priority.CRITICAL] * 5


def test_modes_that_are_full_elsewhere_do_not_move() -> None:
    pool = loaded(10, 0)
    known = {token: Want(token, Mode.FULL) for token in pool.placement}
    keys = (replace(pool.keys[0], modes=frozenset({Mode.LTP})),)
    assert rebalance(replace(pool, wants=known, keys=keys), EVEN) == []
