"""Names of the exchange's instruments: those of the made-up list."""

from __future__ import annotations

from datetime import date
from itertools import islice

import pytest

from pipeline.brokers.kite.symbols import read_instruments
from pipeline.instruments.synthetic import LISTED, ROWS, synthetic_instruments
from pipeline.sim.market import Listing
from pipeline.sim.quotes import Quotes
from pipeline.sim.roll import Roll

DAY = date(2026, 1, 5)


def test_every_listed_instrument_has_the_name_of_the_made_up_list() -> None:
    listing = Listing(300, seed=7, now_s=1_700_000_000)
    made = Roll(listing, DAY)
    for position, row in enumerate(islice(synthetic_instruments(DAY), 300)):
        assert made.position(row.key) == position
        assert listing.tokens[position] == row.instrument_token
    assert made.position("NSE:NOBODY") is None
    assert {"NSE", "BSE", "NFO", "MCX"} <= made.exchanges
    found = list(read_instruments(made.csv(Quotes(listing), "NFO").splitlines(), None))
    assert {row.exchange for row in found} == {"NFO"} and all(row.last_price for row in found)


@pytest.mark.parametrize("count", [9500, 40_000])
def test_a_longer_exchange_begins_with_the_same_names(count: int) -> None:
    found = synthetic_instruments(DAY, rows=count, listed=count)
    names = {row.instrument_token: row.key for row in found}
    usual = synthetic_instruments(DAY)
    assert all(names.get(row.instrument_token, row.key) == row.key for row in usual)
    assert len(names) == count > LISTED


@pytest.mark.full
def test_the_longest_exchange_with_names() -> None:
    found = list(synthetic_instruments(DAY, rows=ROWS, listed=ROWS))
    assert len({row.key for row in found}) == ROWS
