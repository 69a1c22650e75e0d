"""When connections are opened, closed and replaced."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.clock import IST, NS_PER_S
from pipeline.planning.advice import (
    History,
    Recycling,
    ScaleAdvice,
    ScaleReason,
    ScalingPolicy,
)
from pipeline.planning.policies import Growth, PlacementPolicy, Policy, Spread
from pipeline.planning.pool import Plan, PoolView, Want
from pipeline.planning.redistribution import drain
from pipeline.planning.scaling import is_warm_time, judge_scaling
from tests.planning.pools import applied, connections, exceeded, key, policy

EVEN = PlacementPolicy()
FIXED = ScalingPolicy()


def pool_of(*numbers: int, **fields: Any) -> PoolView:
    placement: dict[int, int] = {}
    for number, count in enumerate(numbers):
        first = 1 + number * 10_000
        placement |= dict.fromkeys(range(first, first + count), number)
    pool = PoolView(
        keys=(key(),), connections=connections(len(numbers), capacity=1000), placement=placement,
        wants={token: Want(token) for token in placement},
    )  # fmt: skip
    return replace(pool, **fields)


def with_each(pool: PoolView, *changes: dict[str, Any]) -> PoolView:
    views = zip(pool.connections, changes, strict=True)
    return replace(pool, connections=tuple(replace(view, **change) for view, change in views))


def judge(
    pool: PoolView, scaling: ScalingPolicy = FIXED, history: History | None = None,
    *, at_s: float = 0, placement: PlacementPolicy = EVEN, **fields: Any,
) -> ScaleAdvice:  # fmt: skip
    return judge_scaling(
        pool, placement, scaling, history or History(),
        now_ns=int(at_s * NS_PER_S), wall_ts_ns=fields.pop("wall_ts_ns", 0), **fields,
    )  # fmt: skip


def reasons(advice: ScaleAdvice) -> list[ScaleReason]:
    return [opening.why for opening in advice.open]


# --- growing --------------------------------------------------------------------------------


@pytest.mark.parametrize(("carried", "opened"), [(950, 0), (951, 1), (1000, 1), (0, 0)])
def test_a_connection_opens_before_the_last_places_are_taken(carried: int, opened: int) -> None:
    assert reasons(judge(pool_of(carried))) == [ScaleReason.HEADROOM] * opened


def test_nothing_opens_beyond_the_key_or_while_it_is_limited() -> None:
    assert judge(pool_of(1000, 1000, 1000)).open == ()
    assert judge(pool_of(1000, keys=(key(may_open=False),))).open == ()


def test_a_key_wide_limit_makes_another_connection_useless() -> None:
    fyers = key(capacity=1000, instruments_per_key=1000)
    assert judge(pool_of(960, keys=(fyers,))).open == ()


def test_with_routes_each_account_keeps_its_own_headroom() -> None:
    views = (*connections(1, account="a"), *connections(1, account="b", first=1, capacity=5000))
    pool = PoolView(
        keys=(key("a"), key("b", capacity=5000)), connections=views,
        placement=dict.fromkeys(range(1, 1000), 0),
    )  # fmt: skip
    routed = policy(Policy.CLASS_ROUTE)
    (opening,) = judge(pool, placement=routed).open
    assert opening.new.account == "a"
    assert judge(pool, placement=replace(EVEN, spread=Spread.POOLED)).open == ()


def test_a_busy_decoder_gets_relief_once() -> None:
    limit = ScalingPolicy(decoder_bytes_per_s=1e6)
    pool = with_each(pool_of(100), {"byte_rate_per_s": 700_001.0})
    pool = replace(pool, decoders=range(2))
    advice = judge(pool, limit)
    assert advice.busy_decoders == (0,)
    assert [(o.why, o.new.decoder) for o in advice.open] == [(ScaleReason.BYTE_RATE, 1)]
    opened = applied(pool, Plan(assign={}, open=(advice.open[0].new,)), [])
    assert judge(opened, limit).open == ()
    assert judge(with_each(pool_of(100), {"byte_rate_per_s": 700_000.0}), limit).open == ()


def test_near_the_limit_of_all_keys_is_said() -> None:
    assert not judge(pool_of(1000, 1000, 399)).near_limit
    assert judge(pool_of(1000, 1000, 400)).near_limit
    assert not judge(PoolView()).near_limit


def test_a_minimum_is_kept_from_the_start() -> None:
    advice = judge(PoolView(keys=(key(),)), ScalingPolicy(connections_min=3))
    assert reasons(advice) == [ScaleReason.MINIMUM] * 3
    assert len(judge(PoolView(keys=(key(),)), ScalingPolicy(connections_min=9)).open) == 3


# --- warm -----------------------------------------------------------------------------------


def test_warm_connections_are_kept_within_the_key() -> None:
    warm = ScalingPolicy(warm_connections=1)
    assert reasons(judge(PoolView(keys=(key(),)), warm)) == [ScaleReason.WARM]
    assert reasons(judge(pool_of(10), warm)) == [ScaleReason.WARM]
    assert judge(pool_of(10, 0), warm).open == ()
    assert judge(pool_of(10, 10, 10), warm).open == ()


def at(text: str) -> int:
    moment = datetime.datetime.fromisoformat(f"2026-01-05T{text}").replace(tzinfo=IST)
    return int(moment.timestamp()) * NS_PER_S


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("08:59:59", False), ("09:00:00", True), ("09:59:59", True), ("10:00:00", False)],
)
def test_warmth_by_schedule(moment: str, expected: bool) -> None:
    nine = ScalingPolicy(warm_connections=2, warm_at=datetime.time(9))
    assert is_warm_time(nine, at(moment)) is expected
    advice = judge(PoolView(keys=(key(),)), nine, wall_ts_ns=at(moment))
    assert len(advice.open) == (2 if expected else 0)


def test_a_schedule_may_pass_midnight() -> None:
    late = ScalingPolicy(warm_connections=1, warm_at=datetime.time(23, 30))
    assert is_warm_time(late, at("00:29:00"))
    assert not is_warm_time(late, at("00:30:00"))


# --- shrinking ------------------------------------------------------------------------------


def settle(pool: PoolView, scaling: ScalingPolicy = FIXED) -> list[tuple[int, ScaleReason]]:
    """Return what is closed when nothing else happens, one after the other."""
    closed, history = [], History()
    for second in range(0, 6000, 60):
        advice = judge(pool, scaling, history, at_s=second)
        history = advice.history
        for closing in advice.close:
            closed.append((closing.number, closing.why))
            pool = applied(pool, drain(closing.number, pool, EVEN, to=closing.to)[1], [])
            left = tuple(v for v in pool.connections if v.number != closing.number)
            pool = replace(pool, connections=left)
    return closed


def test_three_become_two_and_one_and_stay() -> None:
    found = settle(pool_of(200, 150, 100))
    assert found == [
        (2, ScaleReason.FITS_WITHOUT),
        (1, ScaleReason.FITS_WITHOUT),
    ]


def test_an_empty_pool_goes_back_to_none() -> None:
    assert settle(pool_of(0)) == [(0, ScaleReason.EMPTY)]
    assert len(settle(pool_of(0, 0, 0), ScalingPolicy(connections_min=1))) == 2
    assert len(settle(pool_of(0, 0, 0), ScalingPolicy(warm_connections=1))) == 2


def test_with_all_connections_from_the_start_none_is_closed_while_any_is_needed() -> None:
    at_once = replace(EVEN, growth=Growth.ALL)
    for carried, closes in ((10, False), (0, True)):
        first = judge(pool_of(carried, 0), placement=at_once)
        later = judge(pool_of(carried, 0), FIXED, first.history, at_s=600, placement=at_once)
        assert bool(later.close) is closes


def test_what_would_be_too_full_stays() -> None:
    assert settle(pool_of(701, 0, 700)) == []
    assert settle(pool_of(700, 0, 700)) == [(1, ScaleReason.EMPTY)]
    assert settle(pool_of(400, 301)) == []
    assert settle(pool_of(400, 300)) == [(1, ScaleReason.FITS_WITHOUT)]


def test_a_connection_is_closed_when_the_hold_time_has_passed_and_no_sooner() -> None:
    first = judge(pool_of(10, 10), at_s=0)
    assert judge(pool_of(10, 10), FIXED, first.history, at_s=599).close == ()
    assert judge(pool_of(10, 10), FIXED, first.history, at_s=600).close != ()


@pytest.mark.parametrize("change", [{"usable": False}, {"draining": True}])
def test_trouble_starts_the_hold_time_anew(change: dict[str, Any]) -> None:
    first = judge(pool_of(10, 10, 10), at_s=0)
    trouble = with_each(pool_of(10, 10, 10), change, {}, {})
    second = judge(trouble, FIXED, first.history, at_s=300)
    third = judge(pool_of(10, 10, 10), FIXED, second.history, at_s=601)
    assert third.close == ()
    assert judge(pool_of(10, 10, 10), FIXED, third.history, at_s=1201).close != ()


def test_what_is_pinned_or_would_be_interrupted_stays() -> None:
    pinned = pool_of(500, 1)
    pinned = replace(pinned, wants={**pinned.wants, 10_001: Want(10_001, connection=1)})
    assert settle(pinned) == []
    apart = replace(with_each(pool_of(100, 10), {}, {"decoder": 1}), decoders=range(2))
    assert settle(apart) == []
    assert settle(apart, ScalingPolicy(shrink_across_decoders=True)) != []


@settings(max_examples=50)
@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    scaling=st.builds(
        ScalingPolicy, connections_min=st.integers(0, 3), warm_connections=st.integers(0, 2),
        headroom=st.floats(0, 0.3), shrink_fill_max=st.floats(0, 0.7),
    ),
)  # fmt: skip
def test_advice_that_is_followed_comes_to_an_end(counts: list[int], scaling: ScalingPolicy) -> None:
    keys = (key(capacity=20, connections_max=5),)
    pool = with_each(pool_of(*counts, keys=keys), *[{"capacity": 20} for _ in counts])
    history, last = History(), 0
    for check in range(30):
        advice = judge(pool, scaling, history, at_s=check * 600)
        history = advice.history
        last = check if advice.open or advice.close else last
        pool = applied(pool, Plan(assign={}, open=tuple(o.new for o in advice.open)), [])
        for closing in advice.close:
            pool = applied(pool, drain(closing.number, pool, EVEN, to=closing.to)[1], [])
            left = tuple(v for v in pool.connections if v.number != closing.number)
            pool = replace(pool, connections=left)
        assert exceeded(pool) == []
        assert len(pool.placement) == sum(counts)
    assert last < 15
    assert len(pool.connections) >= scaling.connections_min


# --- recycling ------------------------------------------------------------------------------


def test_an_unwell_connection_is_replaced_after_three_checks() -> None:
    pool = with_each(pool_of(10, 10), {}, {"health": 49.0})
    history, found = History(), []
    for second in range(3):
        advice = judge(pool, FIXED, history, at_s=second)
        history = advice.history
        found.append(advice.recycle)
    assert found == [(), (), (Recycling(1, ScaleReason.SCORE, break_before_make=False),)]
    well = judge(pool_of(10, 10), FIXED, history)
    assert judge(pool, FIXED, well.history).recycle == ()


def test_an_old_connection_is_replaced_the_oldest_first() -> None:
    pool = with_each(pool_of(10, 10, 10), {"opened_ns": 500}, {"opened_ns": 100}, {})
    pool = with_each(pool, {}, {}, {"opened_ns": 900 * NS_PER_S})
    aged = ScalingPolicy(recycle_age_ns=100 * NS_PER_S)
    assert judge(pool, aged, at_s=99).recycle == ()
    found = judge(pool, aged, at_s=900).recycle
    assert found == (Recycling(1, ScaleReason.AGE, break_before_make=True),)


def test_by_hand_comes_first_one_at_a_time_and_not_while_the_key_is_limited() -> None:
    pool = pool_of(10, 10)
    assert judge(pool, recycle=[1, 0, 9]).recycle == (Recycling(1, ScaleReason.MANUAL, False),)
    draining = with_each(pool, {"draining": True}, {})
    assert judge(draining, recycle=[1]).recycle == ()
    assert judge(replace(pool, keys=(key(may_open=False),)), recycle=[1]).recycle == ()
