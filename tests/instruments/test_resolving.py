"""Forms of every kind to tokens: expiries, strikes, windows, and everything unknown at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import UnknownInstruments
from pipeline.instruments import Catalogue
from pipeline.instruments.resolving import NEAR_FORMS_MAX
from pipeline.planning.window import OptionRow, WindowPolicy, plan_window
from tests.instruments.lists import DAY, STRIKES, WEEKS, stored


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return stored(tmp_path_factory.mktemp("list"))


def keys(catalogue: Catalogue, form: str, today: date = DAY) -> list[str]:
    resolved = catalogue.resolve([form], today=today)
    assert resolved.unknown == () and resolved.expanded[0].form == form
    return [catalogue.find(token).tradingsymbol for token in resolved.tokens]


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("NFO:NIFTY@weekly:atm:CE", "NIFTY24N2124000CE"),
        ("NFO:NIFTY@weekly:atm", "NIFTY24N2124000CE NIFTY24N2124000PE"),
        ("NFO:NIFTY@weekly+1:atm:CE", "NIFTY24NOV24000CE"),
        ("NFO:NIFTY@weekly*2:atm:CE", "NIFTY24N2124000CE NIFTY24NOV24000CE"),
        ("NFO:NIFTY@monthly:atm:CE", "NIFTY24NOV24000CE"),
        ("NFO:NIFTY@monthly+1:atm:CE", "NIFTY24DEC24000CE"),
        ("NFO:NIFTY@near:atm:CE", "NIFTY24N2124000CE"),
        ("NFO:NIFTY@far:atm:CE", "NIFTY24D0524000CE"),
        ("NFO:NIFTY@2024-12-05:atm:CE", "NIFTY24D0524000CE"),
        ("NFO:NIFTY@05DEC24:atm:CE", "NIFTY24D0524000CE"),
        (
            "NFO:NIFTY@all:atm:CE",
            "NIFTY24N2124000CE NIFTY24NOV24000CE NIFTY24D0524000CE NIFTY24DEC24000CE",
        ),
        ("NFO:NIFTY@weekly:atm+2:PE", "NIFTY24N2124100PE"),
        ("NFO:NIFTY@weekly:atm-1..atm:PE", "NIFTY24N2123950PE NIFTY24N2124000PE"),
        ("NFO:NIFTY@weekly:24510+-1:CE", "NIFTY24N2124450CE NIFTY24N2124500CE NIFTY24N2124550CE"),
        ("NFO:NIFTY@weekly:24000..24060:CE", "NIFTY24N2124000CE NIFTY24N2124050CE"),
        ("NFO:NIFTY@weekly:24000:CE", "NIFTY24N2124000CE"),
        ("NFO:VEDL@monthly:all", "VEDL24NOV280CE VEDL24NOV287.5CE VEDL24NOV292.5CE VEDL24NOV300CE"),
        ("NFO:VEDL@near:290+-0", "VEDL24NOV287.5CE"),
        ("NFO:NIFTY@fut", "NIFTY24NOVFUT"),
        ("NFO:NIFTY@fut:next", "NIFTY24DECFUT"),
        ("NFO:NIFTY@fut:all", "NIFTY24NOVFUT NIFTY24DECFUT"),
        ("NFO:NIFTY@fut:monthly+1", "NIFTY24DECFUT"),
        ("NFO:NIFTY@fut:2024-11-28", "NIFTY24NOVFUT"),
    ],
)
def test_what_forms_of_many_stand_for(catalogue: Catalogue, form: str, found: str) -> None:
    assert keys(catalogue, form) == found.split()


def test_expiries_move_with_the_day(catalogue: Catalogue) -> None:
    for today, week in (
        (date(2024, 11, 21), "24N21"),
        (date(2024, 11, 22), "24NOV"),
        (date(2024, 11, 29), "24D05"),
    ):
        assert keys(catalogue, "NFO:NIFTY@weekly:atm:CE", today) == [f"NIFTY{week}24000CE"]
    assert keys(catalogue, "NFO:NIFTY@monthly:atm:CE", date(2024, 11, 29)) == ["NIFTY24DEC24000CE"]


def test_a_window_of_ten_strikes_on_each_side(catalogue: Catalogue) -> None:
    resolved = catalogue.resolve(
        ["NFO:NIFTY@weekly:atm+-10:CE,PE"], spot={256265: 24_633.0}.get, today=DAY
    )
    [expansion] = resolved.expanded
    strikes = sorted({row.strike for row in expansion.instruments})
    assert strikes == [24_150.0 + 50 * number for number in range(21)]
    assert len(resolved.tokens) == 42 and expansion.spot == 24_633.0
    assert expansion.expiries == (date(2024, 11, 21),)


@given(st.floats(1, 100_000), st.integers(0, 100), st.integers(0, 100))
def test_a_window_holds_the_strikes_around_the_nearest(
    catalogue: Catalogue, price: float, below: int, above: int
) -> None:
    form = f"NFO:NIFTY@weekly:atm-{below}..atm+{above}:CE"
    resolved = catalogue.resolve([form], spot=lambda token: price, today=DAY)
    strikes = [row.strike for row in resolved.expanded[0].instruments]
    nearest = min(STRIKES, key=lambda strike: (abs(strike - price), strike))
    middle = STRIKES.index(nearest)
    assert strikes == list(STRIKES[max(middle - below, 0) : middle + above + 1])


def test_each_token_once_in_the_order_of_the_forms(catalogue: Catalogue) -> None:
    forms = ["NSE:INFY", "NFO:NIFTY@fut", 408065, "NSE_INDEX:NIFTY", "NFO:NIFTY@fut:all", "265"]
    resolved = catalogue.resolve(forms, today=DAY)
    assert resolved.require() == (408065, 8_980_226, 256265, 8_980_482, 265)
    assert resolved.single == {
        "NSE:INFY": 408065, 408065: 408065, "NSE_INDEX:NIFTY": 256265, "265": 265,
    }  # fmt: skip


def test_thousands_of_unknown_names_cost_no_search_each(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole list of yesterday's options would keep everybody else waiting for seconds."""
    searched: list[object] = []
    monkeypatch.setattr(Catalogue, "near", lambda _, form: searched.append(form) or ("NSE:INFY",))
    wrong = [f"NSE:GONE{number}" for number in range(3000)]
    resolved = catalogue.resolve([*wrong, *(f"?{number}" for number in range(3000))], today=DAY)
    assert len(resolved.unknown) == 6000 and searched == wrong[:NEAR_FORMS_MAX]
    assert [bool(u.near) for u in resolved.unknown[: NEAR_FORMS_MAX + 1]][-2:] == [True, False]


def test_everything_unknown_is_told_at_once(catalogue: Catalogue) -> None:
    forms = [
        "NSE:INFI", "NSE:INFY", "INFY", 5, "NFO:NIFTI@weekly:atm", "NFO:VEDL@weekly:300",
        "NFO:NIFTY@weekly+9:atm", "NFO:NIFTY@2024-11-22:atm", "NFO:NIFTY@weekly:10..20",
        "NFO:VEDL@near:atm", "NFO:NIFTY@weekly:atm:XE", "NSE:INFY@weekly:atm",
    ]  # fmt: skip
    resolved = catalogue.resolve(forms, today=DAY)
    assert resolved.tokens == (408065,)
    found = {unknown.form: unknown for unknown in resolved.unknown}
    assert list(found) == [str(form) for form in forms if form != "NSE:INFY"]
    assert found["NSE:INFI"].near[0] == "NSE:INFY"
    assert found["INFY"].near[0] == "NSE:INFY" and "no exchange" in found["INFY"].reason
    assert found["NFO:NIFTI@weekly:atm"].near == ("NFO:NIFTY",)
    assert "no weekly expiries; use monthly" in found["NFO:VEDL@weekly:300"].reason
    assert "listed: 2024-11-21, 2024-11-28" in found["NFO:NIFTY@weekly+9:atm"].reason
    assert "listed for 2024-11-21: 23000 to 26000" in found["NFO:NIFTY@weekly:10..20"].reason
    assert "give one instead of atm" in found["NFO:VEDL@near:atm"].reason
    assert "the sides 'XE'; expected CE, PE" in found["NFO:NIFTY@weekly:atm:XE"].reason
    with pytest.raises(UnknownInstruments, match="did you mean NSE:INFY") as caught:
        resolved.require()
    assert all(form in str(caught.value) for form in found)
    assert caught.value.unknown.keys() == found.keys()


def test_a_list_whose_expiries_are_past_says_so(catalogue: Catalogue) -> None:
    resolved = catalogue.resolve(["NFO:NIFTY@weekly:atm"], today=date(2025, 1, 1))
    assert "all expiries are before 2025-01-01: sync the list" in resolved.unknown[0].reason


@pytest.mark.parametrize("price", [None, 0.0, -1.0])
def test_atm_without_a_price_is_unknown(catalogue: Catalogue, price: float | None) -> None:
    resolved = catalogue.resolve(["NFO:NIFTY@near:atm"], spot=lambda token: price, today=DAY)
    assert "the price of NSE:NIFTY 50 is not known here" in resolved.unknown[0].reason


def test_a_chain_by_day_strike_and_side(catalogue: Catalogue) -> None:
    chain = catalogue.chain("NFO", "NIFTY")
    assert chain is not None
    days = [date.fromisoformat(week) for week in WEEKS]
    assert chain.expiries() == days and chain.expiries(futures=True) == [days[1], days[3]]
    assert chain.strikes(days[0]) == list(STRIKES) and chain.strikes(DAY) == []
    found = chain.option(days[0], 23_000.0, "CE")
    assert found is not None and found.instrument_token == 10_000_002
    assert chain.option(days[0], 23_001.0, "CE") is None
    assert chain.step(days[0], 24_010.0) == 50.0 and chain.step(DAY, 24_010.0) == 0.0
    assert catalogue.chain("NFO", "NONE") is None
    window = plan_window(
        map(OptionRow._make, chain.rows()), 24_010.0, WindowPolicy(otm_levels=1), today=DAY
    )
    assert len(window.tokens) == 3 * 3 * 2 and window.middle == 24_000.0
    assert catalogue.chain("NFO", "INFY").expiries() == []  # type: ignore[union-attr]


def test_a_chain_with_gaps_gives_what_is_listed(tmp_path: Path, catalogue: Catalogue) -> None:
    rows = [row for row in catalogue if row.strike != 24_000.0 or row.instrument_type != "PE"]
    gappy = stored(tmp_path, rows)
    assert keys(gappy, "NFO:NIFTY@weekly:atm:CE,PE") == ["NIFTY24N2124000CE"]
