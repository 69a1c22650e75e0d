"""Tokens, exchanges and the instrument list."""

from __future__ import annotations

import pytest

from pipeline.brokers.kite import symbols
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
    with pytest.raises(ValueError, match="no column exchange in line 1"):
        list(symbols.read_instruments([HEADER.removesuffix(",exchange"), ROW]))


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="no column instrument_token"):
        list(symbols.read_instruments([]))


@pytest.mark.parametrize("row", [ROW.replace("408065", "INFY"), "1,2"])
def test_a_bad_row_is_named_by_its_line(row: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        list(symbols.read_instruments([HEADER, ROW, row]))
