"""A small list that every test can read at a glance, and the large made-up one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline.core.instrument import Instrument
from pipeline.instruments import Catalogue, load, write_store

DAY = date(2024, 11, 20)
WEEKS = ("2024-11-21", "2024-11-28", "2024-12-05", "2024-12-26")
#: Kite's names of the weeks: those of 28 November and 26 December end their months.
_KITE_WEEKS = dict(zip(WEEKS, ("24N21", "24NOV", "24D05", "24DEC"), strict=True))
STRIKES = tuple(float(strike) for strike in range(23_000, 26_001, 50))


def share(token: int, exchange: str, symbol: str, *, last: float = 0.0) -> Instrument:
    return Instrument(
        *(token, exchange, symbol, symbol.title(), exchange, "EQ", "", 0.0, 0.05, 1, token >> 8),
        last_price=last,
    )


def index(token: int, exchange: str, symbol: str, *, last: float = 0.0) -> Instrument:
    return share(token, exchange, symbol, last=last)._replace(segment="INDICES")


def option(
    token: int, name: str, week: str, strike: float, side: str, *, exchange: str = "NFO"
) -> Instrument:
    symbol = f"{name}{_KITE_WEEKS[week]}{strike:g}{side}"
    return Instrument(
        *(token, exchange, symbol, name, f"{exchange}-OPT", side, week, strike, 0.05, 25),
        token >> 8,
    )


def future(token: int, name: str, week: str, *, exchange: str = "NFO") -> Instrument:
    symbol = f"{name}{_KITE_WEEKS[week]}FUT"
    return Instrument(
        *(token, exchange, symbol, name, f"{exchange}-FUT", "FUT", week, 0.0, 0.05, 25),
        token >> 8,
    )


def small_list() -> list[Instrument]:
    rows = [
        share(408065, "NSE", "INFY", last=1573.0),
        share(738561, "NSE", "RELIANCE"),
        share(128053508, "BSE", "INFY"),
        share(519937, "NSE", "M&M"),
        index(256265, "NSE", "NIFTY 50", last=24_010.0),
        index(260105, "NSE", "NIFTY BANK"),
        index(265, "BSE", "SENSEX"),
        index(273929, "BSE", "SNSX50"),
        index(280841, "BSE", "METAL"),
        future(8_980_226, "NIFTY", WEEKS[1]),
        future(8_980_482, "NIFTY", WEEKS[3]),
        future(9_000_002, "INFY", WEEKS[1]),
    ]
    token = 10_000_002
    for week in WEEKS:
        for strike in STRIKES:
            for side in ("CE", "PE"):
                rows.append(option(token, "NIFTY", week, strike, side))
                token += 256
    for week in (WEEKS[1], WEEKS[3]):
        for strike in (280.0, 287.5, 292.5, 300.0):
            rows.append(option(token, "VEDL", week, strike, "CE"))
            token += 256
    return rows


def stored(folder: Path, rows: list[Instrument] | None = None, *, day: date = DAY) -> Catalogue:
    file = folder / "list.sqlite"
    write_store(small_list() if rows is None else rows, file=file, source="csv x.csv", day=day)
    return load(file)
