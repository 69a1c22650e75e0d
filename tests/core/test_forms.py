"""The ways to write an instrument: what is read, what is refused, and printing back."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import forms
from pipeline.core.errors import BadForm
from pipeline.core.forms import (
    Around,
    Between,
    ByName,
    ByNumber,
    ByToken,
    Expiries,
    Futures,
    Options,
    parse_form,
)

DAY = date(2024, 11, 28)
READ = {
    408065: ByToken(408065),
    "408065": ByToken(408065),
    "NSE:INFY": ByName("NSE", "INFY"),
    "NSE:NIFTY 50": ByName("NSE", "NIFTY 50"),
    "NSE:M&M": ByName("NSE", "M&M"),
    "NSE_INDEX:NIFTY": ByName("NSE_INDEX", "NIFTY"),
    "NFO:NIFTY28NOV2424000CE": ByName("NFO", "NIFTY28NOV2424000CE"),
    "NSE:#1594": ByNumber("NSE", 1594),
    "NFO:NIFTY@weekly:atm": Options("NFO", "NIFTY", Expiries("weekly"), Around(0, 0)),
    "NFO:NIFTY@weekly:atm+-10:CE,PE": Options("NFO", "NIFTY", Expiries("weekly"), Around(10, 10)),
    "NFO:NIFTY@weekly+1*2:atm-5..atm+10:PE": Options(
        "NFO", "NIFTY", Expiries("weekly", 1, 2), Around(5, 10), ("PE",)
    ),
    "NFO:M&M@monthly*3:atm+3": Options("NFO", "M&M", Expiries("monthly", 0, 3), Around(-3, 3)),
    "NFO:NIFTY@next:atm-3..atm": Options("NFO", "NIFTY", Expiries("near", 1), Around(3, 0)),
    "NFO:NIFTY@2024-11-28:24000:CE": Options(
        "NFO", "NIFTY", Expiries("day", day=DAY), Between(24000, 24000), ("CE",)
    ),
    "NFO:NIFTY@28NOV24:24000..25000:PE,CE": Options(
        "NFO", "NIFTY", Expiries("day", day=DAY), Between(24000, 25000)
    ),
    "CDS:USDINR@all:83.25+-4": Options("CDS", "USDINR", Expiries("all"), Around(4, 4, 83.25)),
    "NFO:NIFTY@far:all": Options("NFO", "NIFTY", Expiries("near", 2), Between()),
    "NFO:NIFTY@fut": Futures("NFO", "NIFTY", Expiries("near")),
    "MCX:GOLD@fut:far": Futures("MCX", "GOLD", Expiries("near", 2)),
    "NFO:NIFTY@fut:all": Futures("NFO", "NIFTY", Expiries("all")),
}


@pytest.mark.parametrize(("text", "form"), READ.items(), ids=map(str, READ))
def test_what_is_read(text: str | int, form: forms.Form) -> None:
    assert parse_form(text) == form
    assert parse_form(str(form)) == form


REFUSED = {
    "": "no instrument",
    "INFY": "no exchange",
    "nse:INFY": "the exchange 'nse'",
    ":INFY": "the exchange ''",
    "NSE:": "the symbol ''",
    "NSE: INFY": "the symbol ' INFY'",
    "NSE:INFY ": "the symbol 'INFY '",
    "NSE:IN\0FY": "the symbol",
    "NSE:INFY:EQ": "the symbol 'INFY:EQ'",
    "NSE:ÏNFY": "the symbol",
    "0": "an integer out of range",
    "4294967296": "an integer out of range",
    "99999999999": "no exchange",
    "٤٠٨٠٦٥": "no exchange",
    "NSE:#": "the number ''",
    "NSE:#0": "the number '0'",
    "NSE:#12a": "the number '12a'",
    "NFO:NIFTY@": "the expiry ''",
    "NFO:NIFTY@weekly": "1 terms after @",
    "NFO:NIFTY@weekly:": "the strikes ''",
    "NFO:NIFTY@weekly:atm:": "the sides ''",
    "NFO:NIFTY@weekly:atm:CE:PE": "4 terms after @",
    "NFO:NIFTY@weekly:atm:ce": "the sides 'ce'",
    "NFO:NIFTY@weekly:atm:CE,CE": "the sides 'CE,CE'",
    "NFO:NIFTY@daily:atm": "the expiry 'daily'",
    "NFO:NIFTY@weekly*0:atm": "the expiry 'weekly*0'",
    "NFO:NIFTY@2024-02-30:atm": "the expiry '2024-02-30'",
    "NFO:NIFTY@30FEB24:atm": "the expiry '30FEB24'",
    "NFO:NIFTY@28nov24:atm": "the expiry '28nov24'",
    "NFO:NIFTY@weekly:atm+-10000": "the strikes 'atm+-10000'",
    "NFO:NIFTY@weekly:atm+-1001": "the strikes 'atm+-1001'",
    "NFO:NIFTY@weekly:atm+5..atm-5": "the strikes",
    "NFO:NIFTY@weekly:25000..24000": "the strikes",
    "NFO:NIFTY@weekly:-24000": "the strikes",
    "NFO:NIFTY@weekly:1e5": "the strikes",
    "NFO:NIFTY@fut:near:CE": "3 terms after @",
    "NFO:@fut": "the symbol ''",
    "NFO:NIFTY@fut@near": "the expiry 'fut@near'",
}


@pytest.mark.parametrize(("text", "found"), REFUSED.items(), ids=map(ascii, REFUSED))
def test_what_is_refused(text: str, found: str) -> None:
    with pytest.raises(BadForm, match="expected") as caught:
        parse_form(text)
    assert found in caught.value.found
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [None, True, 1.5, 0, -1, 2**32, b"NSE:INFY", ["NSE:INFY"], 9**99])
def test_what_is_no_text_and_no_token(value: object) -> None:
    with pytest.raises(BadForm):
        parse_form(value)


def test_an_error_is_short_whatever_was_given() -> None:
    with pytest.raises(BadForm) as caught:
        parse_form("NSE:" + "x" * 1_000_000)
    assert len(str(caught.value)) < 400


names = st.from_regex(r"[A-Z0-9&-]{1,20}", fullmatch=True)
exchanges = st.from_regex(r"[A-Z][A-Z0-9_]{1,10}", fullmatch=True)
prices = st.integers(0, 10**9 - 1).map(float) | st.integers(0, 10**8).map(lambda n: n / 100)
expiries = st.one_of(
    st.builds(Expiries, st.sampled_from(["weekly", "monthly"]), st.integers(0, 20),
              st.integers(1, 20)),
    st.builds(Expiries, st.just("near"), st.integers(0, 2)),
    st.just(Expiries("all")),
    st.dates().map(lambda day: Expiries("day", day=day)),
)  # fmt: skip


@st.composite
def around(draw: st.DrawFn) -> Around:
    if draw(st.booleans()):
        size = draw(st.integers(0, 1000))
        return Around(size, size, draw(prices))
    low, high = sorted((draw(st.integers(-1000, 1000)), draw(st.integers(-1000, 1000))))
    return Around(-low, high)


strikes = st.one_of(
    around(),
    st.just(Between()),
    st.tuples(prices, prices).map(lambda pair: Between(min(pair), max(pair))),
)
sides = st.sampled_from([("CE",), ("PE",), ("CE", "PE")])
any_form = st.one_of(
    st.integers(1, 2**32 - 1).map(ByToken),
    st.builds(ByName, exchanges, names),
    st.builds(ByNumber, exchanges, st.integers(1, 2**32 - 1)),
    st.builds(Options, exchanges, names, expiries, strikes, sides),
    st.builds(Futures, exchanges, names, expiries),
)


@given(any_form)
def test_printing_and_parsing_round_trip(form: forms.Form) -> None:
    assert parse_form(str(form)) == form


@given(st.text(max_size=130))
def test_any_text_is_a_form_or_refused(text: str) -> None:
    try:
        form = parse_form(text)
    except BadForm:
        return
    assert parse_form(str(form)) == form


def test_short_days() -> None:
    assert forms.short_day(DAY) == "28NOV24"
    assert forms.strike_text(292.5) == "292.5" and forms.strike_text(24000.0) == "24000"
