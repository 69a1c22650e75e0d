"""An instrument's state as Kite's quote API tells it. Floor 4; no I/O.

From the same words that the packets are made of (`ext/sim_encode.h` has their places), so that
REST and WebSocket never disagree. Shapes: Kite Connect v3 documentation, "Market quotes and
instruments"; that of an index follows what clients have shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

from pipeline.sim.market import SEGMENTS, Listing

_INDIA: Final = timezone(timedelta(hours=5, minutes=30))
_CIRCUIT: Final = 0.1  # a tenth above and below the previous close
_LEVELS: Final = 5
_DEPTH: Final = 16

_LAST, _QUANTITY, _AVERAGE, _VOLUME, _BUY, _SELL = range(1, 7)
_OPEN, _HIGH, _LOW, _CLOSE, _TRADE_TIME, _OI, _OI_HIGH, _OI_LOW, _TIME = range(7, 16)
_INDEX_HIGH, _INDEX_LOW, _INDEX_OPEN, _INDEX_CLOSE, _INDEX_CHANGE, _INDEX_TIME = range(2, 8)


class Quotes:
    """The listed instruments' quotes."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def ltp(self, position: int) -> dict[str, Any]:
        """Return the last price."""
        token, units, words = self._state(position)
        return {"instrument_token": token, "last_price": words[_LAST] / units}

    def ohlc(self, position: int) -> dict[str, Any]:
        """Return the last price and the day's four."""
        token, units, words = self._state(position)
        places = (_OPEN, _HIGH, _LOW, _CLOSE)
        if _is_index(token):
            places = (_INDEX_OPEN, _INDEX_HIGH, _INDEX_LOW, _INDEX_CLOSE)
        names = ("open", "high", "low", "close")
        four = {name: words[at] / units for name, at in zip(names, places, strict=True)}
        return {"instrument_token": token, "last_price": words[_LAST] / units, "ohlc": four}

    def quote(self, position: int) -> dict[str, Any]:
        """Return everything."""
        token, units, words = self._state(position)
        if _is_index(token):
            change = (words[_LAST] - words[_INDEX_CLOSE]) / units
            found = {"timestamp": _moment(words[_INDEX_TIME]), "net_change": change}
            return self.ohlc(position) | found | {"oi": 0, "oi_day_high": 0, "oi_day_low": 0}
        close = words[_CLOSE] / units
        return self.ohlc(position) | {
            "timestamp": _moment(words[_TIME]),
            "last_trade_time": _moment(words[_TRADE_TIME]),
            "last_quantity": words[_QUANTITY],
            "buy_quantity": words[_BUY],
            "sell_quantity": words[_SELL],
            "volume": words[_VOLUME],
            "average_price": words[_AVERAGE] / units,
            "oi": words[_OI],
            "oi_day_high": words[_OI_HIGH],
            "oi_day_low": words[_OI_LOW],
            "net_change": (words[_LAST] - words[_CLOSE]) / units,
            "lower_circuit_limit": round(close * (1 - _CIRCUIT), 4),
            "upper_circuit_limit": round(close * (1 + _CIRCUIT), 4),
            "depth": {"buy": _side(words, 0, units), "sell": _side(words, _LEVELS, units)},
        }

    def last_price(self, position: int) -> float:
        """Return the last price in rupees."""
        _, units, words = self._state(position)
        return float(words[_LAST] / units)

    def _state(self, position: int) -> tuple[int, int, list[int]]:
        token = int(self._listing.tokens[position])
        words: list[int] = self._listing.market.words(position).tolist()
        return token, SEGMENTS[token & 0xFF].units_per_rupee, words


def _is_index(token: int) -> bool:
    return SEGMENTS[token & 0xFF].is_index


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, _INDIA):%Y-%m-%d %H:%M:%S}"


def _side(words: list[int], first: int, units: int) -> list[dict[str, Any]]:
    starts = [_DEPTH + 3 * level for level in range(first, first + _LEVELS)]
    return [
        {"price": words[at + 1] / units, "quantity": words[at], "orders": words[at + 2] >> 16}
        for at in starts
    ]
