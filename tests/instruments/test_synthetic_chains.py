"""Expiries, names and order of made-up derivatives."""

from __future__ import annotations

from datetime import date
from itertools import islice

from pipeline.instruments.synthetic_chains import (
    Underlying,
    derivative_rows,
    expiries,
    monthly_expiries,
)

TUESDAY = 1
NIFTY = Underlying("NIFTY", 24_600.0, 50.0, weekday=TUESDAY, weeks=5, months=3, first=True)
STOCK = Underlying("INFY", 300.0, 20.0, weekday=TUESDAY)


def test_a_month_ends_with_its_last_weekday() -> None:
    assert monthly_expiries(STOCK, date(2025, 11, 20)) == [
        *(date(2025, 11, 25), date(2025, 12, 30), date(2026, 1, 27)),
    ]
    assert monthly_expiries(STOCK, date(2025, 11, 26))[0] == date(2025, 12, 30)
    assert monthly_expiries(STOCK, date(2025, 11, 25))[0] == date(2025, 11, 25)


def test_weeks_and_months_together() -> None:
    found = expiries(NIFTY, date(2025, 11, 19))
    assert found[:2] == [date(2025, 11, 25), date(2025, 12, 2)]
    assert found == sorted(set(found)) and len(found) == 7


def test_names_are_kites() -> None:
    rows = list(islice(derivative_rows("NFO", [NIFTY, STOCK], date(2025, 10, 14)), 1000))
    assert [row.tradingsymbol for row in rows[:5]] == [
        *("NIFTY25OCTFUT", "NIFTY25NOVFUT", "NIFTY25DECFUT"),
        *("NIFTY25O1424600CE", "NIFTY25O1424600PE"),
    ]
    names = {row.tradingsymbol for row in rows}
    assert {"NIFTY25OCT24600CE", "NIFTY25N0424600PE", "INFY25OCTFUT"} <= names


def test_strikes_end_above_zero_and_at_twice_the_price() -> None:
    rows = list(derivative_rows("NFO", [STOCK], date(2025, 10, 14)))
    strikes = {row.strike for row in rows if row.strike}
    assert (
        min(strikes) == 20.0
        and max(strikes) == 600.0
        and len(rows) == len({row.tradingsymbol for row in rows})
    )
