"""The option window and how it follows its underlying."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_S
from pipeline.planning.window import (
    OptionRow,
    WindowFollower,
    WindowPolicy,
    plan_window,
)

TODAY = datetime.date(2026, 1, 5)
WEEKS = [TODAY + datetime.timedelta(days=7 * n) for n in range(-1, 4)]
STRIKES = [24_000 + 50 * n for n in range(81)]  # to 28,000
ROWS = [
    OptionRow(1 + 2 * (w * len(STRIKES) + s) + (kind == "PE"), strike, week, kind)
    for w, week in enumerate(WEEKS)
    for s, strike in enumerate(STRIKES)
    for kind in ("CE", "PE")
]
BY_TOKEN = {row.token: row for row in ROWS}
WIDE = WindowPolicy()


def strikes(tokens: frozenset[int], week: datetime.date) -> list[float]:
    return sorted({BY_TOKEN[token].strike for token in tokens if BY_TOKEN[token].expiry == week})


def test_ten_levels_to_both_sides_of_three_expiries() -> None:
    window = plan_window(ROWS, 26_010.0, WIDE, today=TODAY)
    assert len(window.tokens) == 3 * 21 * 2
    assert [expiry for expiry, _ in window.middles] == WEEKS[1:4]
    assert strikes(window.tokens, WEEKS[1]) == list(range(25_500, 26_501, 50))
    assert strikes(window.tokens, WEEKS[0]) == []


@pytest.mark.parametrize(
    ("spot", "middle"),
    [(26_024.9, 26_000), (26_025.0, 26_000), (26_025.1, 26_050), (0, 24_000), (1e9, 28_000)],
)
def test_the_middle_is_the_nearest_strike(spot: float, middle: float) -> None:
    assert plan_window(ROWS, spot, WIDE, today=TODAY).middle == middle


def test_kinds_and_levels_are_chosen() -> None:
    calls = WindowPolicy(otm_levels=0, expiries=1, kinds=frozenset({"CE"}))
    (token,) = plan_window(ROWS, 25_000, calls, today=TODAY).tokens
    assert BY_TOKEN[token] == (token, 25_000, TODAY, "CE")


def test_no_options_make_an_empty_window() -> None:
    window = plan_window([], 25_000, WIDE, today=TODAY)
    assert (window.middle, window.tokens) == (None, frozenset())
    assert WindowFollower([], WIDE).follow(0, 1.0, today=TODAY) is None


def test_a25_a_move_of_150_points_is_one_batch() -> None:
    follower = WindowFollower(ROWS, WIDE)
    first = follower.follow(0, 26_000, today=TODAY)
    assert first is not None
    assert (len(first.added), first.dropped) == (126, frozenset())
    change = follower.follow(300 * NS_PER_S, 26_150, today=TODAY)
    assert change is not None
    assert strikes(change.added, TODAY) == [26_550, 26_600, 26_650]
    assert strikes(change.dropped, TODAY) == [25_500, 25_550, 25_600]
    assert change.window.tokens == first.added - change.dropped | change.added
    assert follower.window == change.window


def test_small_moves_and_early_ones_change_nothing() -> None:
    follower = WindowFollower(ROWS, WIDE)
    follower.follow(0, 26_000, today=TODAY)
    assert follower.follow(900 * NS_PER_S, 26_074, today=TODAY) is None
    assert follower.follow(299 * NS_PER_S, 27_000, today=TODAY) is None
    assert follower.follow(900 * NS_PER_S, 26_076, today=TODAY) is not None
    # And the wait begins anew with each act.
    assert follower.follow(1199 * NS_PER_S, 26_500, today=TODAY) is None
    assert follower.follow(1200 * NS_PER_S, 26_500, today=TODAY) is not None


def test_a_new_day_lets_go_of_what_has_expired() -> None:
    follower = WindowFollower(ROWS, WIDE)
    follower.follow(0, 26_000, today=TODAY)
    change = follower.follow(NS_PER_S, 26_000, today=TODAY + datetime.timedelta(days=1))
    assert change is not None
    assert {BY_TOKEN[token].expiry for token in change.dropped} == {TODAY}
    assert {BY_TOKEN[token].expiry for token in change.added} == {WEEKS[4]}


def test_new_rows_are_followed_at_once() -> None:
    follower = WindowFollower(ROWS, WIDE)
    follower.follow(0, 26_000, today=TODAY)
    follower.replace(row for row in ROWS if row.kind == "CE")
    change = follower.follow(NS_PER_S, 26_000, today=TODAY)
    assert change is not None
    assert (change.added, len(change.dropped)) == (frozenset(), 63)


@given(spots=st.lists(st.floats(20_000, 32_000), max_size=30))
def test_changes_add_up_to_the_window_and_come_rarely(spots: list[float]) -> None:
    follower, held, acts = WindowFollower(ROWS, WIDE), frozenset[int](), []
    for minute, spot in enumerate(spots):
        change = follower.follow(minute * 60 * NS_PER_S, spot, today=TODAY)
        if change is not None:
            assert not change.added & held
            assert change.dropped <= held
            held = held - change.dropped | change.added
            acts.append(minute)
        assert held == follower.window.tokens
    assert all(later - earlier >= 5 for earlier, later in zip(acts, acts[1:], strict=False))
