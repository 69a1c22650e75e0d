"""What the listed instruments are called, and the instrument list as CSV. Floor 4; no I/O.

The names are those of the made-up list that `instruments sync --simulated` writes on the same
day; of an exchange with more than its first 9,000 instruments, those that the list has are named.
"""

from __future__ import annotations

from datetime import date
from itertools import takewhile

from pipeline.instruments.synthetic import csv_lines, synthetic_instruments
from pipeline.sim.market import Listing
from pipeline.sim.quotes import Quotes


class Roll:
    """The list of a day, by name and as text."""

    def __init__(self, listing: Listing, day: date) -> None:
        # It has the exchange's own order, so the first that is not listed ends it.
        rows = takewhile(
            lambda row: row.instrument_token in listing.positions, synthetic_instruments(day)
        )
        self._rows = {listing.positions[row.instrument_token]: row for row in rows}
        self._positions = {row.key: position for position, row in self._rows.items()}
        self.exchanges = {row.exchange for row in self._rows.values()}

    def position(self, name: str) -> int | None:
        """Return where `NSE:INFY` lies; None for what is not listed."""
        return self._positions.get(name)

    def csv(self, quotes: Quotes, exchange: str | None) -> str:
        """Return the instrument list, of one exchange or all, with prices of now."""
        return "".join(
            csv_lines(
                row._replace(last_price=quotes.last_price(position))
                for position, row in self._rows.items()
                if exchange in (None, row.exchange)
            )
        )
