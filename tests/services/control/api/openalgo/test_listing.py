"""The list of symbols as a table."""

from __future__ import annotations

import pytest

from pipeline.instruments import Catalogue
from pipeline.services.control.api.openalgo.listing import (
    expiries,
    expiry_text,
    find,
    row_document,
    search,
)
from tests.instruments.lists import stored


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return stored(tmp_path_factory.mktemp("list"))


def test_names_are_found_exactly(catalogue: Catalogue) -> None:
    found = find(catalogue, "NSE", "INFY")
    assert found is not None and found.instrument_token == 408065
    for exchange, symbol in (
        ("NSE", "infy"), ("", "408065"), ("NSE", "#1594"), ("NSE" * 10, "INFY"),
        ("NSE", "I" * 100), ("NFO", "NIFTY@weekly:atm:CE"),
    ):  # fmt: skip
        assert find(catalogue, exchange, symbol) is None


def test_a_row_has_the_brokers_names_beside_its_own(catalogue: Catalogue) -> None:
    found = find(catalogue, "NSE_INDEX", "BANKNIFTY")
    assert found is not None
    row = row_document(catalogue, found)
    assert (row["symbol"], row["brsymbol"], row["exchange"], row["brexchange"]) == (
        "BANKNIFTY", "NIFTY BANK", "NSE_INDEX", "NSE",
    )  # fmt: skip
    assert isinstance(row["token"], str) and isinstance(row["strike"], float)


def test_search_is_bounded_and_of_one_exchange_if_asked(catalogue: Catalogue) -> None:
    assert len(search(catalogue, "NIFTY")) == min(500, len(catalogue.search("NIFTY")))
    assert {row["exchange"] for row in search(catalogue, "INFY", "BSE")} == {"BSE"}
    assert search(catalogue, "   ") == []


def test_expiries_of_what_is_not_there(catalogue: Catalogue) -> None:
    assert expiries(catalogue, "NFO", "VEDL", "options") == ["28-NOV-24", "26-DEC-24"]
    assert expiries(catalogue, "NFO", "VEDL", "futures") == []
    assert expiries(catalogue, "NFO", "NOBODY", "options") == []


def test_a_day_is_written_as_the_table_has_it() -> None:
    assert (expiry_text("2026-08-05"), expiry_text("")) == ("05-AUG-26", "")
