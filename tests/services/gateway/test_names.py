"""Instruments by the names that clients use: exactly those, and numbers of our own."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from pipeline.instruments.store import write_store
from pipeline.services.gateway.names import Names
from pipeline.services.gateway.session import Listed
from tests.services.gateway.ground import listed


def test_names_are_exact_and_their_numbers_are_an_owners(tmp_path: Path) -> None:
    share = listed(tmp_path)[0]
    seen: list[Listed] = []
    names = Names(tmp_path / "list.sqlite", seen.append)
    assert names.find("alice", "NSE", share.tradingsymbol) is None, "not loaded yet"
    names.load()
    found = names.find("alice", "NSE", share.tradingsymbol)
    assert found == (0, share.tradingsymbol, "NSE") and seen == [found]
    assert names.find("alice", "NSE", share.tradingsymbol) is found and len(seen) == 1
    other = names.find("bob", "NSE", share.tradingsymbol)
    assert other is not None and other.key == 1
    assert names.token(found) == names.token(other) == share.instrument_token
    assert names.key_of_token(share.instrument_token) == f"NSE:{share.tradingsymbol}"
    index = names.find("alice", "NSE_INDEX", "NIFTY")
    assert index is not None and names.key_of_token(names.token(index)) == "NSE_INDEX:NIFTY"
    assert names.key_of_token(1) is None


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("NSE", "infy"), ("nse", "INFY"), ("NSE", "#1594"), ("NSE", "../INFY"), ("", "NSE:INFY"),
        ("NSE", ""), ("", "408065"), ("NSE", "INFY\n"), ("NSE", "I" * 100_000), ("N" * 99, "INFY"),
        ("NFO", "NIFTY@weekly:atm"), ("NSE", "*"), ("NSE", "\N{CYRILLIC CAPITAL LETTER I}NFY"),
    ],
)  # fmt: skip
def test_whatever_is_not_listed_is_nothing(tmp_path: Path, exchange: str, symbol: str) -> None:
    listed(tmp_path)
    names = Names(tmp_path / "list.sqlite")
    names.load()
    assert names.find("alice", exchange, symbol) is None


def test_a_name_that_a_new_list_gives_to_another_is_another(tmp_path: Path) -> None:
    first, second, third = listed(tmp_path)[:3]
    file = tmp_path / "list.sqlite"
    names = Names(file)
    names.load()
    symbols = [share.tradingsymbol for share in (first, second, third)]
    old = [names.find("alice", "NSE", symbol) for symbol in symbols]
    moved = third._replace(instrument_token=second.instrument_token)
    write_store([first, moved], file=file, source="simulated", force=True)
    names.load()
    same, gone, other = (names.find("alice", "NSE", symbol) for symbol in symbols)
    assert same is old[0] and gone is None
    assert other is not None and old[2] is not None and other != old[2]
    assert names.token(other) == second.instrument_token
    assert names.token(old[2]) == third.instrument_token, "who has it keeps it"


def test_a_new_list_is_noticed_and_a_missing_one_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(tmp_path / "list.sqlite")
    with caplog.at_level(logging.ERROR):
        names.load()
    assert "instruments sync" in caplog.text and names.changed(7.0) == 7.0
    listed(tmp_path)
    written = names.changed(7.0)
    names.load()
    assert names.find("alice", "NSE", "INFY") is not None
    os.utime(tmp_path / "list.sqlite", (written + 5, written + 5))
    assert names.changed(written) == written + 5
