"""What the listed instruments are called, and the instrument list as CSV. Floor 4; no I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.sim.market import SEGMENTS, Listing
from pipeline.sim.quotes import Quotes

_COLUMNS: Final = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)
_KNOWN: Final = {
    408065: ("NSE", "INFY", "INFOSYS"),
    884737: ("NSE", "TATAMOTORS", "TATA MOTORS"),
    738561: ("NSE", "RELIANCE", "RELIANCE INDUSTRIES"),
    256265: ("NSE", "NIFTY 50", "NIFTY 50"),
    260105: ("NSE", "NIFTY BANK", "NIFTY BANK"),
    265: ("BSE", "SENSEX", "SENSEX"),
}


class Entry(NamedTuple):
    """A row of the list, without its price."""

    exchange: str
    tradingsymbol: str
    name: str


class Roll:
    """The list, by name and as text."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self.entries = [_entry(int(token)) for token in listing.tokens]
        self._positions = {
            f"{entry.exchange}:{entry.tradingsymbol}": position
            for position, entry in enumerate(self.entries)
        }

    def position(self, name: str) -> int | None:
        """Return where `NSE:INFY` lies; None for what is not listed."""
        return self._positions.get(name)

    @property
    def exchanges(self) -> set[str]:
        """The exchanges that have instruments."""
        return {entry.exchange for entry in self.entries}

    def csv(self, quotes: Quotes, exchange: str | None) -> str:
        """Return the instrument list, with prices of now."""
        chosen = [p for p, e in enumerate(self.entries) if exchange in (None, e.exchange)]
        return "\n".join([_COLUMNS, *(self._row(position, quotes) for position in chosen), ""])

    def _row(self, position: int, quotes: Quotes) -> str:
        token, entry = int(self._listing.tokens[position]), self.entries[position]
        segment = SEGMENTS[token & 0xFF]
        kind = "FUT" if segment.derivative else "EQ"
        expiry = "2030-12-26" if segment.derivative else ""
        name = "INDICES" if segment.is_index else entry.exchange
        tick = segment.tick_units / segment.units_per_rupee
        return (
            f"{token},{token >> 8},{entry.tradingsymbol},{entry.name},"
            f"{quotes.last_price(position)},{expiry},0.0,{tick},1,{kind},{name},{entry.exchange}"
        )


def _entry(token: int) -> Entry:
    known = _KNOWN.get(token)
    if known is not None:
        return Entry(*known)
    segment = SEGMENTS[token & 0xFF]
    exchange = "NSE" if segment.is_index else segment.name
    symbol = f"{'INDEX' if segment.is_index else 'SIM'} {token >> 8}".replace("SIM ", "SIM")
    return Entry(exchange, symbol + ("FUT" if segment.derivative else ""), symbol)
