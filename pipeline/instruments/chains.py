"""The options and futures of one underlying, by expiry, strike and side. Floor 2; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date

from pipeline.core.forms import Around, Between, Expiries
from pipeline.core.instrument import FUTURE, OPTION_TYPES, Instrument


class Chain:
    """All derivatives of an underlying; days and strikes are sorted."""

    def __init__(self, exchange: str, underlying: str, instruments: Sequence[Instrument]) -> None:
        self.exchange = exchange
        self.underlying = underlying
        self.futures = sorted(
            (found for found in instruments if found.instrument_type == FUTURE),
            key=lambda found: found.expiry,
        )
        self._options: dict[date, dict[float, dict[str, Instrument]]] = {}
        for found in instruments:
            if found.instrument_type in OPTION_TYPES and found.expiry:
                strikes = self._options.setdefault(date.fromisoformat(found.expiry), {})
                strikes.setdefault(found.strike, {})[found.instrument_type] = found

    def expiries(self, *, futures: bool = False) -> list[date]:
        """Return the days on which options (or futures) expire."""
        if futures:
            return sorted({date.fromisoformat(found.expiry) for found in self.futures})
        return sorted(self._options)

    def strikes(self, expiry: date) -> list[float]:
        """Return the strikes listed for a day; none for a day without options."""
        return sorted(self._options.get(expiry, ()))

    def option(self, expiry: date, strike: float, side: str) -> Instrument | None:
        """Return the option, None if it is not listed."""
        return self._options.get(expiry, {}).get(strike, {}).get(side)

    def rows(self) -> list[tuple[int, float, date, str]]:
        """Return (token, strike, expiry, side) of every option: what a moving window plans with."""
        return [
            (found.instrument_token, strike, expiry, side)
            for expiry, strikes in sorted(self._options.items())
            for strike, sides in sorted(strikes.items())
            for side, found in sorted(sides.items())
        ]

    def step(self, expiry: date, price: float) -> float:
        """Return the distance between strikes around a price; 0 where there are under two."""
        strikes = self.strikes(expiry)
        if len(strikes) < 2:
            return 0.0
        place = min(max(bisect_left(strikes, price), 1), len(strikes) - 1)
        return strikes[place] - strikes[place - 1]


def choose_days(days: Sequence[date], wanted: Expiries, today: date) -> list[date]:
    """Return the days that are meant, of those from today on; none if there are too few."""
    coming = [day for day in days if day >= today]
    if wanted.series == "day":
        return [day for day in coming if day == wanted.day]
    if wanted.series == "all":
        return coming
    if wanted.series == "monthly":
        coming = [day for day in coming if day in _last_of_months(days)]
    elif wanted.series == "weekly" and not has_weeklies(days):
        return []
    return coming[wanted.first : wanted.first + wanted.count]


def has_weeklies(days: Sequence[date]) -> bool:
    """Return whether a month has more than its one expiry."""
    return len(days) > len(_last_of_months(days))


def _last_of_months(days: Sequence[date]) -> set[date]:
    return set({(day.year, day.month): day for day in sorted(days)}.values())


def nearest_strike(strikes: Sequence[float], price: float) -> int:
    """Return the position of the strike nearest to a price, the lower of two as near."""
    place = bisect_left(strikes, price)
    if place == 0 or place == len(strikes):
        return max(place - 1, 0)
    return place if strikes[place] - price < price - strikes[place - 1] else place - 1


def choose_strikes(
    strikes: Sequence[float], wanted: Around | Between, price: float | None
) -> list[float]:
    """Return the strikes that are meant, as far as they are listed.

    price: what `atm` is found by; not needed for Between or an Around with its own centre.
    """
    if isinstance(wanted, Between):
        low = wanted.low if wanted.low is not None else float("-inf")
        high = wanted.high if wanted.high is not None else float("inf")
        return [strike for strike in strikes if low <= strike <= high]
    centre = price if wanted.centre is None else wanted.centre
    if centre is None or not strikes:
        return []
    middle = nearest_strike(strikes, centre)
    return list(strikes[max(middle - wanted.below, 0) : max(middle + wanted.above + 1, 0)])
