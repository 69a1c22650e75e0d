"""A row of an instrument list, and the count of rows that were passed over."""

from __future__ import annotations

import pytest

from pipeline.core.instrument import EXCHANGE, SYMBOL, Instrument, Skips

NIFTY = Instrument(256265, "NSE", "NIFTY 50", "NIFTY 50", "INDICES", "EQ", "", 0.0, 0.0, 0, 1001)


def test_its_name_and_kind() -> None:
    assert NIFTY.key == "NSE:NIFTY 50" and NIFTY.is_index
    assert not NIFTY._replace(segment="NSE").is_index


def test_all_skips_are_counted_and_the_first_shown() -> None:
    skips = Skips()
    for line in range(2, 1000):
        skips.add(line, "too few columns")
    assert skips.count == 998
    assert skips.examples[:2] == ["line 2: too few columns", "line 3: too few columns"]
    assert len(skips.examples) == skips.examples_max


@pytest.mark.parametrize("text", ["INFY", "NIFTY 50", "M&M", "BAJAJ-AUTO", "360ONE", "A" * 64])
def test_symbols(text: str) -> None:
    assert SYMBOL.fullmatch(text)


@pytest.mark.parametrize("text", ["", " A", "A ", "#1", "A:B", "A@B", "A\n", "Ä", "A" * 65])
def test_what_is_no_symbol(text: str) -> None:
    assert not SYMBOL.fullmatch(text)


def test_exchanges() -> None:
    assert EXCHANGE.fullmatch("NSE_INDEX") and EXCHANGE.fullmatch("NFO")
    assert not any(map(EXCHANGE.fullmatch, ["", "N", "nse", "1SE", "NSE ", "N" * 17]))
