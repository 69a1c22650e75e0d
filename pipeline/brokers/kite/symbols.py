"""Kite's instrument tokens and instrument list. Floor 2; reads text lines that it is given.

Wire facts: Kite Connect v3 documentation, "Market quotes and instruments", "Instruments" (the CSV
columns), and "WebSocket streaming" (the token's low byte is the segment).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Final

from pipeline.brokers.contract import Instrument

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

#: The columns that an instrument list must have.
COLUMNS: Final = (
    "instrument_token",
    "exchange",
    "tradingsymbol",
    "name",
    "segment",
    "instrument_type",
    "expiry",
    "strike",
    "tick_size",
    "lot_size",
)


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


def read_instruments(lines: Iterable[str]) -> Iterator[Instrument]:
    """Yield the rows of an instrument list (CSV lines with a header).

    Raises ValueError with the line number for a missing column or a field that is no number.
    """
    reader = csv.DictReader(lines)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"instrument list: no column {', '.join(missing)} in line 1")
    for row in reader:
        try:
            if None in row.values():
                raise ValueError("too few columns")
            yield _instrument(row)
        except (TypeError, ValueError) as error:
            raise ValueError(f"instrument list, line {reader.line_num}: {error}") from None


def _instrument(row: dict[str, str]) -> Instrument:
    return Instrument(
        instrument_token=int(row["instrument_token"]),
        exchange=row["exchange"],
        tradingsymbol=row["tradingsymbol"],
        name=row["name"],
        segment=row["segment"],
        instrument_type=row["instrument_type"],
        expiry=row["expiry"] or "",
        strike=float(row["strike"] or 0),
        tick_size=float(row["tick_size"] or 0),
        lot_size=int(float(row["lot_size"] or 0)),
    )
