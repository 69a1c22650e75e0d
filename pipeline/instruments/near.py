"""Names that look like one that is not listed: edit distance within an exchange. Floor 2.

All names of an exchange are compared at once, a column of letters at a time, which takes some
milliseconds for the 50,000 of the largest; nothing of it is made before it is needed.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

#: What is compared of a name; none that is listed is longer.
_LETTERS_MAX: Final = 40
_EXCHANGES_NEAR: Final = 2


class _Names(NamedTuple):
    """The symbols of an exchange, and their letters: (letters, names) u1, 0 beyond the end."""

    symbols: list[str]
    letters: np.ndarray[Any, np.dtype[np.uint8]]
    lengths: np.ndarray[Any, np.dtype[np.intp]]


class NearNames:
    """The names of a catalogue, ready to be searched by likeness."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._symbols: dict[str, list[str]] = {}
        for name in names:
            exchange, _, symbol = name.partition(":")
            self._symbols.setdefault(exchange, []).append(symbol)
        self._made: dict[str, _Names] = {}

    def find(self, form: str, limit: int) -> tuple[str, ...]:
        """Return up to `limit` listed names that look like a form, nearest first.

        Without an exchange those of shares and indices are searched.
        """
        exchange, colon, symbol = form[: 2 * _LETTERS_MAX].upper().partition(":")
        if not colon:
            exchange, symbol = "", exchange
        symbol = symbol.strip()[:_LETTERS_MAX]
        found = {f"{other}:{symbol}": 0 for other in self._homes(symbol, exchange)}
        for other in self._exchanges(exchange):
            found |= self._within(other, symbol, limit)
        ranked = sorted(found, key=lambda name: (found[name], not name.startswith(exchange)))
        return tuple(ranked[:limit])

    def _homes(self, symbol: str, exchange: str) -> list[str]:
        """Return the exchanges that list just this symbol, those with like names first."""
        homes = [other for other in self._symbols if f"{other}:{symbol}" in self._names]
        return sorted(homes, key=lambda other: -_likeness(other, exchange))

    def _exchanges(self, exchange: str) -> list[str]:
        if exchange in self._symbols:
            return [exchange]
        if not exchange:
            return [other for other in ("NSE", "BSE", "NSE_INDEX") if other in self._symbols]
        return difflib.get_close_matches(exchange, self._symbols, _EXCHANGES_NEAR, 0.5)

    def _within(self, exchange: str, symbol: str, limit: int) -> Mapping[str, int]:
        if not symbol or exchange not in self._symbols:
            return {}
        names = self._made.get(exchange)
        if names is None:
            names = self._made[exchange] = _letters(self._symbols[exchange])
        distances = edit_distances(symbol, names.letters, names.lengths)
        farthest = max(1, min(4, len(symbol) // 3))
        order = np.argsort(distances, kind="stable")[: 4 * limit]
        return {
            f"{exchange}:{names.symbols[row]}": int(distances[row]) + 1
            for row in order
            if distances[row] <= farthest
        }


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _letters(symbols: list[str]) -> _Names:
    wide = max((len(symbol) for symbol in symbols), default=1)
    width = min(wide, _LETTERS_MAX)
    packed = np.array([symbol.upper()[:width].encode("ascii", "replace") for symbol in symbols])
    letters = packed.astype(f"S{width}").view(np.uint8).reshape(len(symbols), width)
    lengths = np.array([min(len(symbol), width) for symbol in symbols], np.intp)
    return _Names(symbols, np.ascontiguousarray(letters.T), lengths)


def edit_distances(
    symbol: str,
    letters: np.ndarray[Any, np.dtype[np.uint8]],
    lengths: np.ndarray[Any, np.dtype[np.intp]],
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return how many edits lead from a symbol to each name, (names,) u1.

    An edit puts in, leaves out or changes a letter, or exchanges two neighbours.
    letters: (letters, names), 0 beyond the end of a name; lengths: (names,).
    """
    width, count = letters.shape
    code = symbol.upper().encode("ascii", "replace")
    before = np.zeros((width + 1, count), np.uint8)
    last = np.repeat(np.arange(width + 1, dtype=np.uint8)[:, None], count, axis=1)
    for row, letter in enumerate(code, 1):
        now = np.empty_like(last)
        now[0] = row
        differs = (letters != letter).view(np.uint8)
        np.minimum(last[1:] + 1, last[:-1] + differs, out=now[1:])
        if row > 1:
            # The two letters here are the two there, the other way round.
            swapped = (letters[:-1] == letter) & (letters[1:] == code[row - 2])
            np.minimum(now[2:], np.where(swapped, before[:-2] + 1, 255), out=now[2:])
        for column in range(1, width + 1):
            np.minimum(now[column], now[column - 1] + 1, out=now[column])
        before, last = last, now
    found: np.ndarray[Any, np.dtype[np.uint8]] = last[lengths, np.arange(count)]
    return found
