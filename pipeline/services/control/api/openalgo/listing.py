"""The instrument list as OpenAlgo's table of symbols: symbol, search, expiry. Floor 4; pure.

What the list does not tell is what it is for nearly all: `freeze_qty` and `contract_value` are 1.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from pipeline.core.forms import short_day
from pipeline.core.instrument import Instrument
from pipeline.instruments.catalogue import Catalogue

SEARCH_ROWS_MAX: Final = 500
_EXCHANGE_LENGTH_MAX: Final = 16
_SYMBOL_LENGTH_MAX: Final = 64
FUTURES: Final = "futures"
OPTIONS: Final = "options"


def find(catalogue: Catalogue, exchange: str, symbol: str) -> Instrument | None:
    """Return the instrument of exactly these names; None if there is none."""
    if len(exchange) > _EXCHANGE_LENGTH_MAX or len(symbol) > _SYMBOL_LENGTH_MAX:
        return None
    if not exchange or symbol.startswith("#"):
        return None  # a number, which is no symbol
    return catalogue.get(f"{exchange}:{symbol}")


def row_document(catalogue: Catalogue, instrument: Instrument) -> dict[str, Any]:
    """Return an instrument as a row of OpenAlgo's table."""
    exchange, _, symbol = catalogue.openalgo_key(instrument).partition(":")
    return {
        "id": instrument.instrument_token,
        "symbol": symbol,
        "brsymbol": instrument.tradingsymbol,
        "name": instrument.name,
        "exchange": exchange,
        "brexchange": instrument.exchange,
        "token": f"{instrument.instrument_token}::::{instrument.exchange_token}",
        "expiry": expiry_text(instrument.expiry),
        "strike": float(instrument.strike),
        "lotsize": instrument.lot_size,
        "instrumenttype": instrument.instrument_type,
        "tick_size": float(instrument.tick_size),
        "contract_value": 1.0,
    }


def search(catalogue: Catalogue, query: str, exchange: str = "") -> list[dict[str, Any]]:
    """Return the rows in whose names every word occurs, of one exchange if it is given."""
    found = []
    for instrument in catalogue.search(query):
        row = row_document(catalogue, instrument)
        if exchange in ("", row["exchange"]):
            found.append({**row, "freeze_qty": 1})
            if len(found) == SEARCH_ROWS_MAX:
                break
    return found


def expiries(catalogue: Catalogue, exchange: str, underlying: str, kind: str) -> list[str]:
    """Return the expiries of an underlying's futures or options, the next one first."""
    chain = catalogue.chain(exchange, underlying)
    days = [] if chain is None else chain.expiries(futures=kind == FUTURES)
    return [expiry_text(day.isoformat()) for day in days]


def expiry_text(day: str) -> str:
    """Return YYYY-MM-DD as 25-AUG-26; nothing for nothing."""
    text = short_day(date.fromisoformat(day)) if day else ""
    return f"{text[:-5]}-{text[-5:-2]}-{text[-2:]}" if text else ""
