"""Lookups by every name, near names, and search."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BadForm, NoInstruments, UnknownInstruments
from pipeline.instruments import Catalogue, load
from pipeline.instruments.near import edit_distances
from tests.instruments.lists import small_list, stored


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return stored(tmp_path_factory.mktemp("list"))


@pytest.mark.parametrize(
    ("form", "token"),
    [
        ("NSE:INFY", 408065),
        (408065, 408065),
        ("408065", 408065),
        ("NSE:#1594", 408065),
        ("BSE:INFY", 128053508),
        ("BSE:#500209", 128053508),
        ("NSE:M&M", 519937),
        ("NSE:NIFTY 50", 256265),
        ("NSE_INDEX:NIFTY", 256265),
        ("NSE_INDEX:#1001", 256265),
        ("NSE_INDEX:BANKNIFTY", 260105),
        ("BSE_INDEX:SENSEX", 265),
        ("BSE_INDEX:SENSEX50", 273929),
        ("BSE_INDEX:BSEMETAL", 280841),
        ("NFO:NIFTY24NOVFUT", 8_980_226),
        ("NFO:NIFTY28NOV24FUT", 8_980_226),
        ("NFO:NIFTY24N2123000CE", 10_000_002),
        ("NFO:NIFTY21NOV2423000CE", 10_000_002),
    ],
)
def test_every_name_of_an_instrument(catalogue: Catalogue, form: str | int, token: int) -> None:
    assert catalogue.token(form) == token
    found = catalogue.find(form)
    assert found.instrument_token == token
    assert catalogue.get(form) == found
    assert form in catalogue


def test_every_row_is_found_by_all_its_names(catalogue: Catalogue) -> None:
    rows = small_list()
    assert list(catalogue) == rows and len(catalogue) == len(rows)
    for row in rows:
        for form in (row.key, row.instrument_token, str(row.instrument_token)):
            assert catalogue.find(form) == row
        assert catalogue.find(catalogue.openalgo_key(row)) == row


def test_a_strike_in_openalgos_name_keeps_its_fraction(catalogue: Catalogue) -> None:
    found = catalogue.find("NFO:VEDL28NOV24292.5CE")
    assert found.tradingsymbol == "VEDL24NOV292.5CE" and found.strike == 292.5


def test_an_index_and_a_share_may_have_one_exchange_number(tmp_path: Path) -> None:
    rows = [row._replace(exchange_token=1001) for row in small_list()[:5]]
    catalogue = stored(tmp_path, rows)
    assert catalogue.find("NSE:#1001").tradingsymbol == "INFY"
    assert catalogue.find("NSE_INDEX:#1001").tradingsymbol == "NIFTY 50"


@pytest.mark.parametrize(
    ("form", "near"),
    [
        ("NSE:INFI", "NSE:INFY"),
        ("NSE:INYF", "NSE:INFY"),
        ("NSE:infy", "NSE:INFY"),
        ("nse:infy", "NSE:INFY"),
        ("INFY", "NSE:INFY"),
        ("NES:INFY", "NSE:INFY"),
        ("NSE:NIFTY", "NSE_INDEX:NIFTY"),
        ("NSE_INDEX:NIFTI", "NSE_INDEX:NIFTY"),
        ("NFO:NIFTY24N2123000C", "NFO:NIFTY24N2123000CE"),
        ("NFO:NIFTY21NOV2423000XE", "NFO:NIFTY21NOV2423000CE"),
    ],
)
def test_unknown_names_come_with_near_ones(catalogue: Catalogue, form: str, near: str) -> None:
    with pytest.raises(UnknownInstruments, match="did you mean") as caught:
        catalogue.find(form)
    assert near in caught.value.unknown[form]
    assert catalogue.get(form) is None and form not in catalogue


@pytest.mark.parametrize("form", ["NSE:QWERTYUIOP", "NSE:#1", 1, "1", "XYZ:QWERTYUIOP"])
def test_unknown_names_that_resemble_none(catalogue: Catalogue, form: str | int) -> None:
    with pytest.raises(UnknownInstruments, match="not in the list of 2024-11-20") as caught:
        catalogue.token(form)
    assert caught.value.unknown == {str(form): ()}


@pytest.mark.parametrize("form", ["", "::", None, 1.5, "NFO:NIFTY@weekly:atm", "\0", "€" * 500])
def test_what_is_no_name_of_one_instrument(catalogue: Catalogue, form: str) -> None:
    with pytest.raises(BadForm):
        catalogue.find(form)


@given(st.text(max_size=60))
def test_any_text_is_found_unknown_or_bad(catalogue: Catalogue, text: str) -> None:
    found = catalogue.get(text)
    try:
        assert catalogue.find(text) == found
    except (BadForm, UnknownInstruments):
        assert found is None
    assert all(name in catalogue for name in catalogue.near(text))


@given(data=st.data())
@settings(max_examples=50)
def test_a_name_with_one_letter_wrong_comes_back(catalogue: Catalogue, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(small_list()[:4]))
    place = data.draw(st.integers(0, len(row.tradingsymbol) - 1))
    letter = data.draw(st.sampled_from("QXZ"))
    kind = data.draw(st.sampled_from(["change", "put in"]))
    rest = row.tradingsymbol[place + (kind == "change") :]
    if len(row.tradingsymbol) > 3:
        typed = f"{row.exchange}:{row.tradingsymbol[:place]}{letter}{rest}"
        assert row.key in catalogue.near(typed)


def distance(one: str, other: str) -> int:
    """The textbook's: optimal string alignment."""
    table = [[max(i, j) if not i * j else 0 for j in range(len(other) + 1)]
             for i in range(len(one) + 1)]  # fmt: skip
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            cost = one[i - 1] != other[j - 1]
            ways = [table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + cost]
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                ways.append(table[i - 2][j - 2] + 1)
            table[i][j] = min(ways)
    return table[-1][-1]


@given(
    st.text("ABC", min_size=1, max_size=9),
    st.lists(st.text("ABC", min_size=1, max_size=9), min_size=1, max_size=8),
)
def test_edit_distances_are_the_textbooks(symbol: str, names: list[str]) -> None:
    import numpy as np

    width = max(map(len, names))
    letters = np.array(names, f"S{width}").view(np.uint8).reshape(len(names), width).T
    found = edit_distances(symbol, np.ascontiguousarray(letters), np.array([len(n) for n in names]))
    assert found.tolist() == [distance(symbol, name) for name in names]


def test_search_finds_words_in_any_name(catalogue: Catalogue) -> None:
    assert [row.key for row in catalogue.search("infy")][:2] == ["NSE:INFY", "BSE:INFY"]
    found = catalogue.search("nifty 24000 ce")
    assert [row.expiry for row in found] == sorted(row.expiry for row in found) and len(found) == 4
    assert len(catalogue.search("nifty", limit=7)) == 7
    assert catalogue.search("") == catalogue.search("qqq") == []


def test_what_a_price_is_read_from(catalogue: Catalogue) -> None:
    for underlying, key in (("NIFTY", "NSE:NIFTY 50"), ("INFY", "NSE:INFY")):
        found = catalogue.spot_of("NFO", underlying)
        assert found is not None and found.key == key
    assert catalogue.spot_of("NFO", "VEDL") is None
    assert catalogue.underlyings("NFO") == ["INFY", "NIFTY", "VEDL"]


def test_threads_may_share_one(catalogue: Catalogue) -> None:
    wrong: list[str] = []

    def look() -> None:
        wrong.extend(row.key for row in small_list() if catalogue.find(row.key) != row)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_missing_list_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NoInstruments, match="python -m pipeline instruments sync --csv FILE"):
        load(tmp_path / "none.sqlite")


def test_an_exchange_is_that_of_openalgos_name(catalogue: Catalogue) -> None:
    names = [catalogue.openalgo_key(one) for one in catalogue.of_exchange("NSE_INDEX")]
    assert "NSE_INDEX:NIFTY" in names and all(name.startswith("NSE_INDEX:") for name in names)
    exchanges = {catalogue.openalgo_key(one).partition(":")[0] for one in catalogue}
    counts = [len(list(catalogue.of_exchange(exchange))) for exchange in exchanges]
    assert sum(counts) == len(catalogue) and list(catalogue.of_exchange("NS")) == []
