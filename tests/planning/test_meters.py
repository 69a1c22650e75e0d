"""Shown rates against those that were made."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.planning.meters import RateMeter, Rates, RecentCount


def run(*parts: tuple[int, float], period_s: float) -> Rates:
    """Feed a meter from a source that sends at each rate (per s) for so many seconds."""
    meter, now_s, sent = RateMeter(), 0.0, 0.0
    found = meter.update(0, 0)
    for rate, seconds in parts:
        for _ in range(round(seconds / period_s)):
            now_s += period_s
            sent += rate * period_s
            found = meter.update(round(now_s * NS_PER_S), int(sent))
    return found


@pytest.mark.parametrize("period_s", [0.05, 0.25, 0.3, 1.0])
@pytest.mark.parametrize("before", [0, 100, 5000])
@pytest.mark.parametrize("rate", [0, 100, 5000])
def test_three_seconds_after_a_change_the_rate_is_right(
    rate: int, before: int, period_s: float
) -> None:
    found = run((before, 30), (rate, 3), period_s=period_s)
    assert found.s1 == pytest.approx(rate, rel=0.02, abs=1e-9)


def test_a_steady_rate_is_right_in_all_three_from_the_first_period_on() -> None:
    meter = RateMeter()
    assert meter.update(0, 1000) == Rates()
    assert meter.update(NS_PER_S // 2, 1500) == pytest.approx((1000.0, 1000.0, 1000.0))


def test_longer_spans_follow_more_slowly() -> None:
    found = run((100, 120), (1000, 5), period_s=0.5)
    assert found.s1 == pytest.approx(1000)
    assert 100 < found.s60 < found.s10 < 1000


def test_a_counter_that_begins_anew_loses_nothing() -> None:
    meter = RateMeter()
    for at, counter in [(0, 0), (1, 500), (2, 100), (3, 600)]:
        found = meter.update(at * NS_PER_S, counter)
    assert found.s1 == pytest.approx(500)


def test_two_looks_at_the_same_time_are_one() -> None:
    meter = RateMeter()
    meter.update(0, 0)
    meter.update(0, 10)
    assert meter.update(NS_PER_S, 100).s1 == pytest.approx(100)


@given(seed=st.integers(0, 1000))
def test_uneven_looks_do_not_matter(seed: int) -> None:
    draw = random.Random(seed)
    meter, now_ns = RateMeter(), 0
    found = meter.update(0, 0)
    while now_ns < 5 * NS_PER_S:
        now_ns += draw.randint(1, 400) * NS_PER_MS
        found = meter.update(now_ns, now_ns * 5000 // NS_PER_S)
    assert found.s1 == pytest.approx(5000, rel=0.001)


def test_what_came_lately_is_counted_and_ages_out() -> None:
    recent = RecentCount(10 * NS_PER_S)
    counts = [(0, 5), (1, 5), (2, 7), (9, 8), (11, 8), (12, 8), (19, 8)]
    found = [recent.update(at * NS_PER_S, counter) for at, counter in counts]
    assert found == [0, 0, 2, 3, 3, 1, 0]
    assert recent.update(20 * NS_PER_S, 2) == 2  # begun anew
