"""Each penalty by its documented amount; the pool's states."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.planning.health import (
    Band,
    PoolState,
    Vitals,
    band,
    judge_health,
    penalties,
    score,
)


def vitals(number: int = 0, **fields: Any) -> Vitals:
    return Vitals(number=number, connected=fields.pop("connected", True), **fields)


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({}, 0),
        ({"last_frame_age_ns": 2500 * NS_PER_MS}, 0),
        ({"last_frame_age_ns": 6250 * NS_PER_MS}, 25),
        ({"last_frame_age_ns": 10 * NS_PER_S}, 50),
        ({"last_frame_age_ns": 3600 * NS_PER_S}, 50),
        ({"reconnects": 1}, 5),
        ({"reconnects": 4}, 20),
        ({"reconnects": 400}, 20),
        ({"errors_per_min": 3.0}, 3),
        ({"errors_per_min": 99.0}, 15),
        ({"ring_fill_p95": 0.5}, 0),
        ({"ring_fill_p95": 0.75}, 7.5),
        ({"ring_fill_p95": 1.0}, 15),
        ({"tick_age_p95_ns": 10 * NS_PER_MS}, 0),
        ({"tick_age_p95_ns": 15 * NS_PER_MS}, 5),
        ({"tick_age_p95_ns": 90 * NS_PER_MS}, 10),
        ({"unconfirmed_share": 0.05}, 5),
        ({"unconfirmed_share": 1.0}, 10),
        ({"reconnects": 2, "errors_per_min": 5.0, "unconfirmed_share": 0.01}, 16),
    ],
)
def test_each_penalty_is_of_its_documented_amount(fields: dict[str, Any], lost: float) -> None:
    found = penalties(vitals(**fields), median_tick_age_ns=10 * NS_PER_MS)
    assert score(found) == pytest.approx(100 - lost)


def test_ages_below_a_millisecond_do_not_differ() -> None:
    found = judge_health(
        [vitals(n, tick_age_p95_ns=age) for n, age in enumerate((20_000, 900_000))]
    )
    assert found.score == 100


@given(
    age=st.integers(0, 10**12), reconnects=st.integers(0, 10**6), errors=st.floats(0, 1e9),
    fill=st.floats(0, 1), tick_age=st.integers(0, 10**12), unconfirmed=st.floats(0, 1),
)  # fmt: skip
def test_a_score_never_leaves_its_range(
    age: int, reconnects: int, errors: float, fill: float, tick_age: int, unconfirmed: float
) -> None:
    found = vitals(
        last_frame_age_ns=age, reconnects=reconnects, errors_per_min=errors, ring_fill_p95=fill,
        tick_age_p95_ns=tick_age, unconfirmed_share=unconfirmed,
    )  # fmt: skip
    assert 0 <= judge_health([found, vitals(1)]).connections[0].score <= 100


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (100, Band.HEALTHY),
        (80, Band.HEALTHY),
        (79.9, Band.DEGRADED),
        (50, Band.DEGRADED),
        (49.9, Band.UNHEALTHY),
        (0, Band.UNHEALTHY),
    ],
)
def test_bands(value: float, expected: Band) -> None:
    assert band(value) is expected


def test_b17_killed_and_recovered() -> None:
    three = [vitals(number) for number in range(3)]
    found = judge_health(three)
    assert (found.state, found.percentage, found.is_healthy) == (PoolState.HEALTHY, 100.0, True)
    two = [vitals(0, connected=False), *three[1:]]
    found = judge_health(two)
    assert found.is_degraded
    assert found.percentage == pytest.approx(66.7, abs=0.05)
    assert (found.healthy, found.unhealthy) == ((1, 2), (0,))
    found = judge_health([dataclasses.replace(one, connected=False) for one in three])
    assert found.is_critical
    assert (found.percentage, found.score) == (0.0, 0.0)
    assert judge_health([vitals(0, reconnects=1), *three[1:]]).is_healthy


def test_errors_are_a_warning_until_they_age_out() -> None:
    assert judge_health([vitals(0, errors_per_min=2.0)]).state is PoolState.WARNING
    assert judge_health([vitals(0)]).state is PoolState.HEALTHY


def test_a_pool_without_connections_is_well() -> None:
    found = judge_health([])
    assert (found.score, found.percentage, found.is_healthy) == (100.0, 100.0, True)


def test_the_pool_is_the_mean_by_capacity() -> None:
    found = judge_health([vitals(0, capacity=3000), vitals(1, capacity=1000, connected=False)])
    assert found.score == 75


def test_r17_a_quiet_market_with_heartbeats_is_well() -> None:
    quiet = vitals(last_frame_age_ns=2 * NS_PER_S, last_message_age_ns=120 * NS_PER_S)
    found = judge_health([quiet])
    assert found.is_healthy
    assert found.active_message_flows == 0
    assert judge_health([vitals(last_message_age_ns=59 * NS_PER_S)]).active_message_flows == 1
