"""Tokens, exchanges and the instrument list."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.brokers.kite import symbols
from pipeline.core.errors import BadInstruments
from pipeline.core.instrument import Skips
from tests.brokers import kite_frames as make

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
ROW = "408065,1594,INFY,INFOSYS,0.0,,0.0,0.05,1,EQ,NSE,NSE"
OPTION = "12073986,47164,NIFTY24JUN23000CE,NIFTY,0.0,2024-06-27,23000.0,0.05,25,CE,NFO-OPT,NFO"


@pytest.mark.parametrize(
    ("token", "exchange"),
    [(make.INFY, "NSE"), (make.NIFTY_50, "INDICES"), (make.EURINR, "CDS"), (make.BCD_TOKEN, "BCD"),
     (make.MCX_TOKEN, "MCX"), (make.ALUMINI, "NCO"), (10, "SEGMENT 10")],
)  # fmt: skip
def test_exchange_of_a_token(token: int, exchange: str) -> None:
    assert symbols.exchange_of(token) == exchange
    assert symbols.is_index(token) is (exchange == "INDICES")


def test_exchange_token() -> None:
    assert symbols.exchange_token_of(make.INFY) == 1594


def test_rows_of_an_instrument_list() -> None:
    infy, option = symbols.read_instruments([HEADER, ROW, OPTION])
    assert (infy.instrument_token, infy.key, infy.expiry, infy.lot_size) == (
        408065,
        "NSE:INFY",
        "",
        1,
    )
    assert (option.key, option.expiry) == ("NFO:NIFTY24JUN23000CE", "2024-06-27")
    assert (option.strike, option.tick_size, option.lot_size) == (23000.0, 0.05, 25)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(BadInstruments, match="no column exchange in line 1"):
        list(symbols.read_instruments([HEADER.removesuffix(",exchange"), ROW]))


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(BadInstruments, match="no column instrument_token"):
        list(symbols.read_instruments([]))


def test_columns_may_stand_in_any_order() -> None:
    names, values = HEADER.split(","), ROW.split(",")
    lines = [",".join(["x", *reversed(names)]), ",".join(["y", *reversed(values)])]
    assert list(symbols.read_instruments(lines)) == list(symbols.read_instruments([HEADER, ROW]))


def test_blank_lines_and_a_byte_order_mark_are_passed_over() -> None:
    lines = [f"\ufeff{HEADER}\r\n", "\r\n", f"{ROW}\r\n", "\n"]
    assert [row.key for row in symbols.read_instruments(lines)] == ["NSE:INFY"]


BAD = {
    "a word for a token": ROW.replace("408065", "INFY"),
    "token 0": ROW.replace("408065", "0"),
    "a token of 33 bits": ROW.replace("408065", str(2**32)),
    "few columns": "1,2",
    "a NUL byte": ROW.replace("INFY", "IN\0FY"),
    "an empty symbol": ROW.replace("INFY,", ",", 1),
    "an @ in the symbol": ROW.replace("INFY,", "INFY@weekly,", 1),
    "a negative strike": OPTION.replace("23000.0", "-23000.0"),
    "no finite strike": OPTION.replace("23000.0", "inf"),
    "nan": OPTION.replace("23000.0", "nan"),
    "a day that is none": OPTION.replace("2024-06-27", "2024-06-31"),
    "an American day": OPTION.replace("2024-06-27", "06/27/2024"),
    "a negative lot": OPTION.replace(",25,CE", ",-25,CE"),
    "digits of another script": ROW.replace("408065", "\u0664\u0660\u0668"),
    "a million characters": ROW.replace("INFOSYS", "x" * 1_000_000),
    "a long name": ROW.replace("INFOSYS", "x" * 1000),
    "the same token again": ROW.replace("INFY", "INFI"),
    "the same name again": ROW.replace("408065", "408066"),
    "an exchange nobody can type": ROW.replace("NSE,NSE", "NSE,nse:"),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_a_bad_row_is_named_by_its_line(row: str) -> None:
    with pytest.raises(BadInstruments, match="line 3"):
        list(symbols.read_instruments([HEADER, ROW, row]))


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_a_bad_row_is_skipped_and_counted(row: str) -> None:
    skips = Skips()
    found = list(symbols.read_instruments([HEADER, ROW, row, OPTION], skips))
    assert [instrument.key for instrument in found] == ["NSE:INFY", "NFO:NIFTY24JUN23000CE"]
    assert skips.count == 1
    assert skips.examples[0].startswith("line 3: ") and len(skips.examples[0]) < 160


def test_rows_that_a_quotation_mark_swallows_are_all_counted() -> None:
    rows = [ROW.replace("INFY", f"I{n}").replace("408065", str(n + 1)) for n in range(5000)]
    rows[1000] = rows[1000].replace("INFOSYS", '"INFOSYS')
    skips = Skips()
    found = list(symbols.read_instruments([f"{line}\n" for line in (HEADER, *rows)], skips))
    assert len(found) + skips.count == 5000 and skips.count > 1000
    assert skips.examples[0].startswith("line 1002: field larger")


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_text_gives_rows_skips_or_a_typed_error(lines: list[str]) -> None:
    skips = Skips()
    found = list(symbols.read_instruments([HEADER, ROW, *lines], skips))
    assert len(found) + skips.count <= 1 + sum(line.count("\n") + line.count("\r") + 1
                                               for line in lines)  # fmt: skip
    with contextlib.suppress(BadInstruments):
        list(symbols.read_instruments(lines))


OFFICIAL = os.environ.get("KITE_MOCKS", "")


@pytest.mark.skipif(not OFFICIAL, reason="KITE_MOCKS names no folder with the official packets")
def test_the_official_list_is_read_whole() -> None:
    with (Path(OFFICIAL) / "instruments_all.csv").open(newline="") as file:
        assert len(list(symbols.read_instruments(file))) == 99
