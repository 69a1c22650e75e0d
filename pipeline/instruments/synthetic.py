"""A made-up instrument list of realistic size, for the simulated exchange. Floor 2; pure.

Its first 9,000 rows are what the exchange lists by default, in its order, so that they tick; every
further token is one that a larger exchange would list, too. Names, expiries and strikes follow
Kite's own (Kite Connect v3 documentation, "Instruments"). No full list is public, so how many rows
a segment has is approximate. The same seed and day give the same list.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain, count
from typing import Final

from pipeline.core.instrument import INDEX_SEGMENT, Instrument
from pipeline.core.instruments import (
    SEGMENT_BCD,
    SEGMENT_BFO,
    SEGMENT_BSE,
    SEGMENT_CDS,
    SEGMENT_INDICES,
    SEGMENT_MCX,
    SEGMENT_NCO,
    SEGMENT_NFO,
    SEGMENT_NSE,
    simulated_token,
)
from pipeline.instruments.synthetic_chains import Row, Underlying, derivative_rows

ROWS: Final = 110_000
#: What the exchange lists unless it is told otherwise ([simulator] instruments).
LISTED: Final = 9000

#: Rows of each segment in a list of ROWS: a real one has some 25,000 options on NSE's commodities
#: and 8,000 on currencies, though few of them are ever traded.
MIX: Final = {
    SEGMENT_NFO: 33_000,
    SEGMENT_NCO: 25_000,
    SEGMENT_BFO: 13_000,
    SEGMENT_BSE: 12_000,
    SEGMENT_NSE: 9000,
    SEGMENT_MCX: 8400,
    SEGMENT_CDS: 8000,
    SEGMENT_BCD: 1000,
    SEGMENT_INDICES: 600,
}

_HEADER: Final = (
    *("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry"),
    *("strike", "tick_size", "lot_size", "instrument_type", "segment", "exchange"),
)

#: The instruments of `pipeline.core.instruments.KNOWN_TOKENS`, near real prices.
KNOWN: Final = {
    408065: Row("NSE", "INFY", "INFOSYS", "NSE", "EQ", last_price=1573.0),
    884737: Row("NSE", "TATAMOTORS", "TATA MOTORS", "NSE", "EQ", last_price=925.0),
    738561: Row("NSE", "RELIANCE", "RELIANCE INDUSTRIES", "NSE", "EQ", last_price=2440.0),
    256265: Row("NSE", "NIFTY 50", "NIFTY 50", INDEX_SEGMENT, "EQ", last_price=24_600.0),
    260105: Row("NSE", "NIFTY BANK", "NIFTY BANK", INDEX_SEGMENT, "EQ", last_price=52_300.0),
    265: Row("BSE", "SENSEX", "SENSEX", INDEX_SEGMENT, "EQ", last_price=80_900.0),
}
_INDICES: Final = {
    ("NSE", "NIFTY FIN SERVICE"): 23_800.0,
    ("NSE", "NIFTY MID SELECT"): 12_500.0,
    ("NSE", "NIFTY NEXT 50"): 66_000.0,
    ("BSE", "BANKEX"): 59_000.0,
    ("BSE", "SNSX50"): 25_800.0,
    ("NSE", "INDIA VIX"): 14.0,
}
_TUESDAY: Final = 1
_THURSDAY: Final = 3
_NFO_INDICES: Final = (
    Underlying("NIFTY", 24_600.0, 50.0, weekday=_TUESDAY, weeks=5, months=6, first=True),
    Underlying("BANKNIFTY", 52_300.0, 100.0, weekday=_TUESDAY, months=4, first=True),
    Underlying("FINNIFTY", 23_800.0, 50.0, weekday=_TUESDAY, first=True),
    Underlying("MIDCPNIFTY", 12_500.0, 25.0, weekday=_TUESDAY, first=True),
    Underlying("NIFTYNXT50", 66_000.0, 100.0, weekday=_TUESDAY, first=True),
    Underlying("INFY", 1573.0, 20.0, weekday=_TUESDAY, first=True),
    Underlying("TATAMOTORS", 925.0, 10.0, weekday=_TUESDAY, first=True),
    Underlying("RELIANCE", 2440.0, 20.0, weekday=_TUESDAY, first=True),
)
_BFO_INDICES: Final = (
    Underlying("SENSEX", 80_900.0, 100.0, weekday=_THURSDAY, weeks=5, months=5, first=True),
    Underlying("BANKEX", 59_000.0, 100.0, weekday=_THURSDAY, first=True),
    Underlying("SENSEX50", 25_800.0, 100.0, weekday=_THURSDAY, first=True),
)
_PAIRS: Final = tuple(
    Underlying(name, price, 0.25, weekday=4, months=12, tick=0.0025, first=True)
    for name, price in (("USDINR", 84.0), ("EURINR", 91.0), ("GBPINR", 107.0), ("JPYINR", 55.0))
)
_METALS: Final = tuple(
    Underlying(name, price, step, weekday=4, months=4, tick=tick, first=True)
    for name, price, step, tick in (
        *(("GOLD", 73_000.0, 100.0, 1.0), ("SILVER", 88_000.0, 250.0, 1.0)),
        *(("CRUDEOIL", 5900.0, 50.0, 1.0), ("NATURALGAS", 260.0, 5.0, 0.1)),
        *(("COPPER", 830.0, 5.0, 0.05), ("ZINC", 275.0, 2.5, 0.05)),
        *(("GOLDM", 73_000.0, 100.0, 1.0), ("SILVERM", 88_000.0, 250.0, 1.0)),
        *(("CRUDEOILM", 5900.0, 50.0, 1.0), ("NATGASMINI", 260.0, 5.0, 0.1)),
        *(("ALUMINIUM", 240.0, 2.5, 0.05), ("LEAD", 180.0, 2.5, 0.05)),
    )
)
_STOCKS_WITH_OPTIONS: Final = 180
_SUFFIXES: Final = ("", "", "", "", "", "-BE", "-SM", "-BZ")
_HEADS: Final = (
    *("ADI", "BAL", "CHE", "DHAN", "EKA", "GUJ", "HIM", "IND", "JAI", "KAV"),
    *("LAKSH", "MAHA", "NAV", "OM", "PRA", "RAJ", "SAT", "TRI", "UTT", "VIJ"),
)
_TAILS: Final = (
    *("BANK", "CHEM", "CEM", "FIN", "FOR", "INFRA", "JET", "LAB", "MET", "MOT"),
    *("OIL", "PACK", "PHAR", "POW", "REAL", "STEEL", "SYS", "TEX"),
)


def synthetic_instruments(
    day: date, *, rows: int = ROWS, seed: int = 1, listed: int = LISTED
) -> Iterator[Instrument]:
    """Yield a made-up list of a day, in the order of the exchange's own list.

    listed: the first so many positions of the exchange's list are all in it.
    """
    if not 1 <= rows <= ROWS:
        raise ValueError(f"rows {rows}: expected 1 to {ROWS}")
    sources = _sources(day, random.Random(seed))
    left: dict[int, int] | None = None
    given = dict.fromkeys(MIX, 0)
    for position in count():
        if position >= min(rows, listed):
            left = _left(rows, given) if left is None else left
            if not any(left.values()):
                return
        token = simulated_token(position)
        segment = token & 0xFF
        if left is not None:
            if not left[segment]:
                continue
            left[segment] -= 1
        given[segment] += 1
        row = KNOWN.get(token) or next(sources[segment])
        yield row.instrument(token)


def _left(rows: int, given: dict[int, int]) -> dict[int, int]:
    """Return how many rows of each segment are still to come, so that the mix is the real one."""
    missing = {
        segment: max(share * rows // ROWS - given[segment], 0) for segment, share in MIX.items()
    }
    short = rows - sum(given.values()) - sum(missing.values())
    missing[SEGMENT_NFO] += short  # what rounding left; few
    for segment in sorted(missing, key=lambda segment: -missing[segment]):
        over = min(max(-missing[SEGMENT_NFO], 0), missing[segment])
        missing[segment] -= over
        missing[SEGMENT_NFO] += over
    return missing


def _sources(day: date, rng: random.Random) -> dict[int, Iterator[Row]]:
    names = _names(rng)
    stocks = [next(names) for _ in range(MIX[SEGMENT_NSE])]
    prices = {name: float(rng.randrange(700, 4000)) for name in stocks}
    shares = [
        Underlying(name, prices[name], _step(prices[name]), weekday=_TUESDAY)
        for name in stocks[:_STOCKS_WITH_OPTIONS]
    ]
    nfo = [*_NFO_INDICES, *shares]
    bfo = [*_BFO_INDICES, *(share._replace(weekday=_THURSDAY) for share in shares)]
    more = chain(stocks, names)
    return {
        SEGMENT_NSE: chain(
            (
                Row("NSE", name + _suffix(row), name.title(), "NSE", "EQ", last_price=prices[name])
                for row, name in enumerate(stocks)
            ),
            (Row("NSE", f"SIM{row}", f"Simulated {row}", "NSE", "EQ") for row in count()),
        ),
        SEGMENT_BSE: (Row("BSE", name, name.title(), "BSE", "EQ") for name in more),
        SEGMENT_INDICES: _index_rows(),
        SEGMENT_NFO: derivative_rows("NFO", nfo, day),
        SEGMENT_BFO: derivative_rows("BFO", bfo, day),
        SEGMENT_CDS: derivative_rows("CDS", _PAIRS, day),
        SEGMENT_BCD: derivative_rows("BCD", _PAIRS[:2], day),
        SEGMENT_MCX: derivative_rows("MCX", _METALS, day),
        SEGMENT_NCO: derivative_rows("NCO", _METALS, day),
    }


def _suffix(number: int) -> str:
    return "" if number < _STOCKS_WITH_OPTIONS else _SUFFIXES[number % len(_SUFFIXES)]


def _step(price: float) -> float:
    return 10.0 if price < 1000 else 20.0 if price < 2500 else 50.0


def _names(rng: random.Random) -> Iterator[str]:
    seen = {row.tradingsymbol for row in KNOWN.values()}
    while True:
        middle = "".join(rng.choices("AEIKLMNORSTU", k=rng.randrange(3)))
        name = f"{rng.choice(_HEADS)}{middle}{rng.choice(_TAILS)}"
        if name not in seen:
            seen.add(name)
            yield name


def _index_rows() -> Iterator[Row]:
    for (exchange, name), price in _INDICES.items():
        yield Row(exchange, name, name, INDEX_SEGMENT, "EQ", last_price=price)
    for number in count(1):
        exchange = "BSE" if number % 3 == 0 else "NSE"
        name = f"{'BSE' if number % 3 == 0 else 'NIFTY'} SIM {number:03d}"
        yield Row(exchange, name, name, INDEX_SEGMENT, "EQ")


def csv_lines(instruments: Iterable[Instrument]) -> Iterator[str]:
    """Yield a list as the lines of Kite's CSV, the header first, each with its line's end."""
    writer = csv.writer(_Echo(), lineterminator="\n")
    yield str(writer.writerow(_HEADER))
    for found in instruments:
        row = found._asdict()
        yield str(writer.writerow([row[column] for column in _HEADER]))


class _Echo:
    """A file that hands each line back, for csv.writer."""

    def write(self, line: str) -> str:
        return line
