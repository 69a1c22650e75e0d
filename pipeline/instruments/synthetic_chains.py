"""The derivatives of a made-up instrument list: expiries, strikes, Kite's names. Floor 2; pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import count
from typing import Final, NamedTuple

from pipeline.core.forms import MONTHS, strike_text
from pipeline.core.instrument import FUTURE, OPTION_TYPES, Instrument

_NEAR_EXPIRIES: Final = 3
_NEAR_STRIKES: Final = 25  # on each side
_RING: Final = 10
_MONTH_LETTERS: Final = "123456789OND"
_LOT: Final = 25


class Row(NamedTuple):
    """An instrument without its token."""

    exchange: str
    tradingsymbol: str
    name: str
    segment: str
    instrument_type: str
    expiry: str = ""
    strike: float = 0.0
    tick_size: float = 0.05
    lot_size: int = 1
    last_price: float = 0.0

    def instrument(self, token: int) -> Instrument:
        """Return it with its token; the exchange's own number is what the token holds."""
        return Instrument(
            *(token, self.exchange, self.tradingsymbol, self.name, self.segment),
            *(self.instrument_type, self.expiry, self.strike, self.tick_size, self.lot_size),
            *(token >> 8, self.last_price),
        )


class Underlying(NamedTuple):
    """What derivatives are on; those of `first` ones come before all others'."""

    name: str
    price: float
    step: float
    weekday: int  # of its expiries, Monday is 0
    weeks: int = 0
    months: int = 3
    tick: float = 0.05
    first: bool = False


def derivative_rows(exchange: str, underlyings: Sequence[Underlying], day: date) -> Iterator[Row]:
    """Yield futures and options, what people trade most first; ends at twice the price."""
    first = [underlying for underlying in underlyings if underlying.first]
    rest = [underlying for underlying in underlyings if not underlying.first]
    for underlying in first:
        yield from _futures(exchange, underlying, day)
    seen: set[tuple[str, date, float]] = set()
    for underlying in first:
        for expiry in expiries(underlying, day)[:_NEAR_EXPIRIES]:
            yield from _options(exchange, underlying, expiry, range(_NEAR_STRIKES + 1), day, seen)
    for underlying in rest:
        yield from _futures(exchange, underlying, day)
    for inner in count(0, _RING):
        before = len(seen)
        for underlying in underlyings:
            for expiry in expiries(underlying, day):
                ring = range(inner, inner + _RING)
                yield from _options(exchange, underlying, expiry, ring, day, seen)
        if len(seen) == before and inner > _NEAR_STRIKES:
            return


def expiries(underlying: Underlying, day: date) -> list[date]:
    """Return the days on which an underlying's options expire, from a day on, sorted."""
    days = set(monthly_expiries(underlying, day))
    start = day + timedelta(days=(underlying.weekday - day.weekday()) % 7)
    days |= {start + timedelta(weeks=week) for week in range(underlying.weeks)}
    return sorted(days)


def monthly_expiries(underlying: Underlying, day: date) -> list[date]:
    """Return the last such weekday of each of the coming months."""
    found: list[date] = []
    year, month = day.year, day.month
    while len(found) < underlying.months:
        last = date(year, month, calendar.monthrange(year, month)[1])
        expiry = last - timedelta(days=(last.weekday() - underlying.weekday) % 7)
        if expiry >= day:
            found.append(expiry)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def _futures(exchange: str, underlying: Underlying, day: date) -> Iterator[Row]:
    for expiry in monthly_expiries(underlying, day)[:3]:
        symbol = f"{underlying.name}{_month(expiry)}{FUTURE}"
        yield _row(exchange, underlying, symbol, FUTURE, expiry, 0.0)


def _options(
    exchange: str, underlying: Underlying, expiry: date, distances: range, day: date,
    seen: set[tuple[str, date, float]],
) -> Iterator[Row]:  # fmt: skip
    monthly = expiry in monthly_expiries(underlying, day)
    when = _month(expiry) if monthly else _week(expiry)
    middle = round(underlying.price / underlying.step)
    for distance in distances:
        for place in dict.fromkeys((middle + distance, middle - distance)):
            strike = place * underlying.step
            if not 0 < place <= 2 * middle or (underlying.name, expiry, strike) in seen:
                continue
            seen.add((underlying.name, expiry, strike))
            for side in OPTION_TYPES:
                symbol = f"{underlying.name}{when}{strike_text(strike)}{side}"
                yield _row(exchange, underlying, symbol, side, expiry, strike)


def _row(
    exchange: str, underlying: Underlying, symbol: str, kind: str, expiry: date, strike: float
) -> Row:
    segment = f"{exchange}-{'FUT' if kind == FUTURE else 'OPT'}"
    return Row(
        *(exchange, symbol, underlying.name, segment, kind, expiry.isoformat(), strike),
        *(underlying.tick, _LOT, underlying.price if kind == FUTURE else 0.0),
    )


def _month(day: date) -> str:
    """As in NIFTY24NOVFUT."""
    return f"{day.year % 100:02d}{MONTHS[day.month - 1]}"


def _week(day: date) -> str:
    """As in NIFTY24O1724000CE."""
    return f"{day.year % 100:02d}{_MONTH_LETTERS[day.month - 1]}{day.day:02d}"
