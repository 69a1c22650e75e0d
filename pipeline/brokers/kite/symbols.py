"""Kite's instrument tokens and instrument list. Floor 2; reads text lines that it is given.

Wire facts: Kite Connect v3 documentation, "Market quotes and instruments", "Instruments" (the CSV
columns), and "WebSocket streaming" (the token's low byte is the segment).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from operator import itemgetter
from typing import Any, Final

from pipeline.core.errors import BadInstruments
from pipeline.core.instrument import EXCHANGE, SYMBOL, Instrument, Skips

SEGMENT_MASK: Final = 0xFF
EXCHANGE_TOKEN_SHIFT: Final = 8

#: {segment: exchange name}, as kiteconnect's `EXCHANGE_MAP` numbers them.
EXCHANGES: Final = {
    1: "NSE",
    2: "NFO",
    3: "CDS",
    4: "BSE",
    5: "BFO",
    6: "BCD",
    7: "MCX",
    8: "MCXSX",
    9: "INDICES",
    12: "NCO",
}
INDICES_SEGMENT: Final = 9

#: The columns that an instrument list must have; it may have others, and in any order.
COLUMNS: Final = (
    "instrument_token",
    "exchange_token",
    "tradingsymbol",
    "name",
    "last_price",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
    "instrument_type",
    "segment",
    "exchange",
)
_TOKEN_MAX: Final = 2**32 - 1
_QUANTITY_MAX: Final = 2**31 - 1
_PRICE_MAX: Final = 1e9
_NAME_LENGTH_MAX: Final = 128
_WORD: Final = re.compile(r"[!-~]{0,24}")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def segment_of(instrument_token: int) -> int:
    """Return the segment number, the token's low byte."""
    return instrument_token & SEGMENT_MASK


def exchange_token_of(instrument_token: int) -> int:
    """Return the exchange's own number for the instrument."""
    return instrument_token >> EXCHANGE_TOKEN_SHIFT


def exchange_of(instrument_token: int) -> str:
    """Return the exchange's name; `SEGMENT n` for a segment that is not documented."""
    segment = segment_of(instrument_token)
    return EXCHANGES.get(segment, f"SEGMENT {segment}")


def is_index(instrument_token: int) -> bool:
    """Say whether the instrument is an index, which cannot be traded."""
    return segment_of(instrument_token) == INDICES_SEGMENT


def read_instruments(lines: Iterable[str], skips: Skips | None = None) -> Iterator[Instrument]:
    """Yield the rows of an instrument list (CSV lines with a header).

    A row that cannot be one is counted in `skips` with its line number; without `skips` it raises
    BadInstruments. That is raised for missing columns, too. Of two rows with one token or name the
    first counts.
    """
    reader = csv.reader(lines)
    take = _columns(reader)
    seen: set[int | str] = set()
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
            if row is None:
                return
            if not row:
                continue  # an empty line
            instrument = _instrument(take(row))
            for identity in (instrument.instrument_token, instrument.key):
                if identity in seen:
                    raise ValueError(f"{identity} again")
        except (IndexError, ValueError, csv.Error) as error:
            reason = "too few columns" if isinstance(error, IndexError) else str(error)
            if skips is None:
                raise BadInstruments(f"instrument list, line {line}: {reason}") from None
            # A quotation mark that nothing closes swallows lines, and each would have been a row.
            skips.add(line, reason, max(reader.line_num - line + 1, 1))
            continue
        seen |= {instrument.instrument_token, instrument.key}
        yield instrument


def _columns(reader: Any) -> Callable[[list[str]], tuple[str, ...]]:
    """Read the header; return what takes the columns out of a row, in our order."""
    try:
        header = [name.strip().lstrip("\ufeff") for name in next(reader, ())]
    except csv.Error as error:
        raise BadInstruments(f"instrument list, line 1: {error}") from None
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        found = ascii(",".join(header))[:80]
        raise BadInstruments(
            f"instrument list: no column {', '.join(missing)} in line 1, found {found}; expected "
            f"Kite's instrument list, with {','.join(COLUMNS)}"
        )
    return itemgetter(*(header.index(column) for column in COLUMNS))


def _instrument(row: tuple[str, ...]) -> Instrument:
    token, number, symbol, name, last, expiry, strike, tick, lot, kind, segment, exchange = row
    return Instrument(
        instrument_token=_integer("instrument_token", token, 1, _TOKEN_MAX),
        exchange=_matching("exchange", exchange, EXCHANGE),
        tradingsymbol=_matching("tradingsymbol", symbol, SYMBOL),
        name=_name(name),
        segment=_matching("segment", segment, _WORD),
        instrument_type=_matching("instrument_type", kind, _WORD),
        expiry=_expiry(expiry),
        strike=_number("strike", strike),
        tick_size=_number("tick_size", tick),
        lot_size=int(_number("lot_size", lot, _QUANTITY_MAX)),
        exchange_token=_integer("exchange_token", number or "0", 0, _TOKEN_MAX),
        last_price=_number("last_price", last),
    )


def _integer(column: str, text: str, low: int, high: int) -> int:
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise ValueError(f"{column} {_short(text)}: expected {low} to {high}")
    return int(text)


def _number(column: str, text: str, high: float = _PRICE_MAX) -> float:
    try:
        value = float(text) if text else 0.0
    except ValueError:
        value = math.nan
    if not 0 <= value <= high:
        raise ValueError(f"{column} {_short(text)}: expected a number from 0 to {high:g}")
    return value


def _matching(column: str, text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{column} {_short(text)}: not one that can be typed")
    return text


def _name(text: str) -> str:
    if len(text) > _NAME_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"name {_short(text)}: expected at most {_NAME_LENGTH_MAX} printable")
    return text


def _expiry(text: str) -> str:
    if text:
        try:
            valid = _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"expiry {_short(text)}: expected a day such as 2024-11-28")
    return text


def _short(text: str) -> str:
    return ascii(text if len(text) <= 24 else f"{text[:21]}...")
