"""Which days and strikes are meant, by themselves."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.core.forms import Around, Between, Expiries
from pipeline.instruments.chains import (
    choose_days,
    choose_strikes,
    has_weeklies,
    nearest_strike,
)

WEEKLIES = [date(2024, 11, day) for day in (7, 14, 21, 28)] + [date(2024, 12, 26)]
MONTHLIES = [date(2024, 11, 28), date(2024, 12, 26), date(2025, 1, 30)]
TODAY = date(2024, 11, 14)


def test_weeklies_are_what_a_month_has_more_than_one_of() -> None:
    assert has_weeklies(WEEKLIES) and not has_weeklies(MONTHLIES) and not has_weeklies([])


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        (Expiries("weekly"), [1]),
        (Expiries("weekly", 1), [2]),
        (Expiries("weekly", 1, 2), [2, 3]),
        (Expiries("weekly", 3, 9), [4]),
        (Expiries("weekly", 9), []),
        (Expiries("monthly"), [3]),
        (Expiries("monthly", 0, 2), [3, 4]),
        (Expiries("near", 2), [3]),
        (Expiries("all"), [1, 2, 3, 4]),
        (Expiries("day", day=WEEKLIES[2]), [2]),
        (Expiries("day", day=WEEKLIES[0]), []),
    ],
)
def test_days(wanted: Expiries, places: list[int]) -> None:
    assert choose_days(WEEKLIES, wanted, TODAY) == [WEEKLIES[place] for place in places]


def test_an_underlying_without_weeklies_has_none() -> None:
    assert choose_days(MONTHLIES, Expiries("weekly"), TODAY) == []
    assert choose_days(MONTHLIES, Expiries("near"), TODAY) == MONTHLIES[:1]


def test_an_expiry_counts_on_its_own_day() -> None:
    assert choose_days(WEEKLIES, Expiries("weekly"), WEEKLIES[2]) == [WEEKLIES[2]]


@pytest.mark.parametrize(
    ("price", "place"), [(0, 0), (100, 0), (124, 0), (125, 0), (126, 1), (150, 1), (999, 2)]
)
def test_the_nearest_strike(price: float, place: int) -> None:
    assert nearest_strike([100.0, 150.0, 200.0], price) == place


def test_strikes_far_apart_are_counted_not_measured() -> None:
    strikes = [100.0, 101.0, 102.0, 200.0, 300.0]
    assert choose_strikes(strikes, Around(1, 2), 102.4) == [101.0, 102.0, 200.0, 300.0]
    assert choose_strikes(strikes, Around(-1, 1), 102.4) == [200.0]
    assert choose_strikes(strikes, Around(0, 0, 299.0), 102.4) == [300.0]
    assert choose_strikes(strikes, Around(9, -9), 102.4) == []
    assert choose_strikes(strikes, Between(101.0, 200.0), None) == [101.0, 102.0, 200.0]
    assert choose_strikes(strikes, Between(), None) == strikes
    assert (
        choose_strikes(strikes, Around(1, 1), None) == choose_strikes([], Around(1, 1), 1.0) == []
    )
