"""Single instruments by a query, with the catalogue's answers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import pipeline
from pipeline.core.errors import BadForm, BadInstruments, NoInstruments, UnknownInstruments
from pipeline.instruments import Lookup, lookup, write_store
from tests.instruments.lists import DAY, WEEKS, small_list, stored

TODAY = date.fromisoformat(WEEKS[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return stored(tmp_path).info.file


@pytest.fixture
def names(file: Path) -> Lookup:
    return Lookup(file)


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    lookup._shared.clear()


def test_it_answers_as_the_catalogue_does(names: Lookup, tmp_path: Path) -> None:
    catalogue = stored(tmp_path)
    for row in small_list():
        forms = (row.key, row.instrument_token, str(row.instrument_token))
        for form in (*forms, catalogue.openalgo_key(row)):
            assert names.find(form) == names.find(form) == catalogue.find(form) == row
    for form in ("NSE:#1594", "NSE_INDEX:#1001", "BSE_INDEX:#1"):
        assert names.find(form) == catalogue.find(form)
    assert names._catalogue is None  # all of that without loading it


def test_unknown_names_come_with_near_ones(names: Lookup) -> None:
    with pytest.raises(UnknownInstruments, match="did you mean NSE:INFY") as caught:
        names.token("NSE:INFI")
    assert "NSE:INFY" in caught.value.unknown["NSE:INFI"]
    with pytest.raises(BadForm):
        names.find("NFO:NIFTY@weekly:atm")


def test_tokens_keep_their_order_and_repeats(names: Lookup) -> None:
    assert names.tokens(["NSE:INFY", 5, "256265", "NSE:INFY"]) == [408065, 5, 256265, 408065]
    assert names.tokens([]) == []


def test_tokens_of_a_window(tmp_path: Path) -> None:
    # Kept valid whatever day it is: far in the future.
    rows = [row._replace(expiry=row.expiry.replace("2024", "2999")) for row in small_list()]
    names = Lookup(stored(tmp_path, rows).info.file)
    forms = ["NSE:INFY", "NFO:NIFTY@near:atm-1..atm:CE", 7]
    found = names.tokens(forms, spot=lambda token: 23_050.0)
    assert found == [408065, 10_000_002, 10_000_002 + 512, 7]


def test_all_that_are_unknown_are_told(names: Lookup) -> None:
    with pytest.raises(UnknownInstruments) as caught:
        names.tokens(["NSE:INFY", "NSE:INFI", "BSE:INFI"])
    assert caught.value.unknown.keys() == {"NSE:INFI", "BSE:INFI"}


def test_threads_may_share_one(names: Lookup) -> None:
    rows, wrong = small_list(), []

    def look() -> None:
        wrong.extend(row.key for row in rows if names.find(row.key) != row)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_front_door(file: Path) -> None:
    assert pipeline.find("NSE:INFY", file).instrument_token == 408065
    assert pipeline.find is lookup.find


def test_a_replaced_list_is_seen(file: Path) -> None:
    assert pipeline.find("NSE:INFY", file).last_price == 1573.0
    rows = [row._replace(last_price=1600.0) for row in small_list()]
    write_store(rows, file=file, source="csv x.csv", day=DAY)
    os.utime(file, ns=(1, 1))
    assert pipeline.find("NSE:INFY", file).last_price == 1600.0


def test_the_usual_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(NoInstruments, match="instruments sync"):
        pipeline.find("NSE:INFY")
    (tmp_path / "tickrail").mkdir()
    (tmp_path / "tickrail" / "instruments.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(BadInstruments):
        pipeline.find("NSE:INFY")
