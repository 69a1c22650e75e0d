"""The instrument list in memory: a lookup is one look into a dict. Floor 2.

Columns instead of 110,000 objects; a row becomes an `Instrument` when it is asked for. Immutable
once loaded, so threads may share one.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Final

from pipeline.core.errors import BadForm, UnknownInstruments
from pipeline.core.forms import Single, parse_form
from pipeline.core.instrument import FUTURE, OPTION_TYPES, Instrument
from pipeline.instruments.chains import Chain
from pipeline.instruments.near import NearNames
from pipeline.instruments.openalgo import SPOT_EXCHANGES
from pipeline.instruments.resolving import Resolved, SpotPrice, Unknown, resolve
from pipeline.instruments.store import ListInfo, default_file, info_of, open_store

_CHUNK_ROWS: Final = 8192
_SELECT: Final = """
SELECT key, openalgo, openalgo_exchange, name, segment, instrument_type, expiry,
       instrument_token, exchange_token, lot_size, strike, tick_size, last_price
FROM instrument ORDER BY row
"""
_SEARCH_MAX: Final = 10_000
_NUMBERED_LENGTH_MAX: Final = 30


class Catalogue:
    """Every listed instrument, by any of its names; made by `load`."""

    def __init__(self, database: sqlite3.Connection, info: ListInfo) -> None:
        self.info = info
        self._texts: tuple[list[str], ...] = tuple([] for _ in range(7))
        self._integers = (array("I"), array("I"), array("I"))
        self._prices = (array("d"), array("d"), array("d"))
        self._made: dict[int, Instrument] = {}
        self._chains: dict[tuple[str, str], Chain] = {}
        self._numbered: dict[str, int] = {}
        self._read(database)
        keys, openalgo, *_ = self._texts
        self._tokens = {token: row for row, token in enumerate(self._integers[0])}
        # OpenAlgo's names first: where the two differ about a name, the broker's own wins.
        self._names = dict(zip(openalgo, self._tokens.values(), strict=True))
        self._names.update(zip(keys, self._tokens.values(), strict=True))

    def _read(self, database: sqlite3.Connection) -> None:
        words: dict[str, str] = {}
        cursor = database.execute(_SELECT)
        while chunk := cursor.fetchmany(_CHUNK_ROWS):
            columns = tuple(zip(*chunk, strict=True))
            keys, openalgo = columns[:2]
            self._texts[0].extend(keys)
            self._texts[1].extend(map(_either, openalgo, keys))
            for texts, column in zip(self._texts[2:], columns[2:7], strict=True):
                texts.extend(map(words.setdefault, column, column))  # each text once
            for integers, column in zip(self._integers, columns[7:10], strict=True):
                integers.extend(column)
            for prices, column in zip(self._prices, columns[10:], strict=True):
                prices.extend(column)

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Instrument]:
        return map(self._make, range(len(self)))

    def __contains__(self, form: object) -> bool:
        return self._row(form) is not None

    def __repr__(self) -> str:
        return f"<Catalogue of {len(self)} instruments, {self.info.day}, {self.info.source}>"

    # ---- one instrument ---------------------------------------------------------------------

    def find(self, form: str | int) -> Instrument:
        """Return the instrument of a token, `NSE:INFY`, OpenAlgo symbol or `NSE:#1594`.

        Raises BadForm for what is none of these, UnknownInstruments with near names for what is
        not listed.
        """
        row = self._names.get(form) if isinstance(form, str) else self._tokens.get(form)
        if row is None:
            row = self._require(form)
        return self._made.get(row) or self._keep(row)

    def token(self, form: str | int) -> int:
        """Return the instrument token of a form; raise as `find` does."""
        row = self._names.get(form) if isinstance(form, str) else self._tokens.get(form)
        return self._integers[0][self._require(form) if row is None else row]

    def get_token(self, form: str | int) -> int | None:
        """Return as `token`, None for what is not listed or no form of a single instrument."""
        row = self._row(form)
        return None if row is None else self._integers[0][row]

    def get(self, form: str | int) -> Instrument | None:
        """Return as `find`, None for what is not listed or no form of a single instrument."""
        row = self._row(form)
        return None if row is None else self._keep(row)

    def openalgo_key(self, instrument: Instrument) -> str:
        """Return OpenAlgo's `EXCHANGE:SYMBOL` of a listed instrument."""
        return self._texts[1][self._tokens[instrument.instrument_token]]

    def of_exchange(self, exchange: str) -> Iterator[Instrument]:
        """Yield the instruments of an exchange of OpenAlgo's (NSE_INDEX), in the list's order."""
        begin = f"{exchange}:"
        names = self._texts[1]
        return (self._make(row) for row, name in enumerate(names) if name.startswith(begin))

    def near(self, form: object, limit: int = 3) -> tuple[str, ...]:
        """Return listed names that look like a form of one instrument, nearest first."""
        return self._near.find(form, limit) if isinstance(form, str) and "@" not in form else ()

    def search(self, text: str, limit: int = _SEARCH_MAX) -> list[Instrument]:
        """Return the instruments in whose names every word of a text occurs, next expiry first."""
        words = text.upper().split()
        if not words:
            return []
        keys, openalgo, _, names, *_ = self._texts
        rows = [
            row
            for row, parts in enumerate(zip(keys, openalgo, names, strict=True))
            if all(any(word in part.upper() for part in parts) for word in words)
        ]
        whole = {f":{word}" for word in words}
        expiries = self._texts[6]
        rows.sort(
            key=lambda row: (
                not any(keys[row].endswith(end) for end in whole), expiries[row], len(keys[row])
            )
        )  # fmt: skip
        return [self._make(row) for row in rows[:limit]]

    # ---- many -------------------------------------------------------------------------------

    def resolve(
        self,
        forms: Iterable[str | int],
        *,
        spot: SpotPrice | None = None,
        today: date | None = None,
    ) -> Resolved:
        """Return the tokens that forms of every kind stand for, and what is unknown.

        spot: {token -> last price or None} for `atm`; without one, the list's own last prices.
        today: expiries before it are passed over; by default the date in India. Raises nothing
        for a form that is wrong: `Resolved.unknown` says what is the matter with each.
        """
        return resolve(self, forms, spot=spot, today=today)

    def chain(self, exchange: str, underlying: str) -> Chain | None:
        """Return all options and futures of an underlying, such as ("NFO", "NIFTY")."""
        found = self._chains.get((exchange, underlying))
        rows = self._derivatives.get((exchange, underlying))
        if found is None and rows is not None:
            found = Chain(exchange, underlying, [self._make(row) for row in rows])
            self._chains[exchange, underlying] = found
        return found

    def underlyings(self, exchange: str) -> list[str]:
        """Return the names of what has options or futures on an exchange, sorted."""
        return sorted(name for where, name in self._derivatives if where == exchange)

    def spot_of(self, exchange: str, underlying: str) -> Instrument | None:
        """Return what an underlying's price is read from: its index, share, or nearest future."""
        for spot in SPOT_EXCHANGES.get(exchange, ()):
            found = self.get(f"{spot}:{underlying}")
            if found is not None:
                return found
        chain = self.chain(exchange, underlying)
        return chain.futures[0] if chain and chain.futures else None

    # ---- inside -----------------------------------------------------------------------------

    def _make(self, row: int) -> Instrument:
        keys, _, _, names, segments, types, expiries = self._texts
        tokens, numbers, lots = self._integers
        strikes, ticks, lasts = self._prices
        exchange, _, symbol = keys[row].partition(":")
        return Instrument(
            *(tokens[row], exchange, symbol, names[row], segments[row], types[row]),
            *(expiries[row], strikes[row], ticks[row], lots[row], numbers[row], lasts[row]),
        )

    def _keep(self, row: int) -> Instrument:
        found = self._made[row] = self._make(row)
        return found

    def _row(self, form: object) -> int | None:
        if isinstance(form, str):
            row = self._names.get(form)
            return self._typed(form) if row is None else row
        return self._tokens.get(form) if isinstance(form, int) else None

    def _typed(self, form: str) -> int | None:
        """Look up 408065 as a text, and NSE:#1594; each is taken apart once."""
        row = self._numbered.get(form)
        if row is None:
            row = self._look_up_number(form)
            if row is not None:
                self._numbered[form] = row
        return row

    def _look_up_number(self, form: str) -> int | None:
        if len(form) > _NUMBERED_LENGTH_MAX or not form.isascii():
            return None
        if form.isdecimal():
            return self._tokens.get(int(form))
        exchange, _, digits = form.partition(":#")
        if exchange not in self._numbers or not digits.isdecimal():
            return None
        return self._numbers[exchange].get(int(digits))

    def _require(self, form: object) -> int:
        row = self._typed(form) if isinstance(form, str) else None
        if row is not None:
            return row
        reason = f"not in the list of {self.info.day}"
        try:
            if not isinstance(parse_form(form), Single):
                raise BadForm(form, "many instruments", "one; resolve() takes these")
        except BadForm as error:
            if not self.near(form):
                raise
            reason = f"found {error.found}"
        unknown = Unknown(str(form), reason, self.near(form))
        raise UnknownInstruments(str(unknown), {unknown.form: unknown.near})

    @cached_property
    def _numbers(self) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = {exchange: {} for exchange in set(self._texts[2])}
        for row, exchange in enumerate(self._texts[2]):
            found[exchange].setdefault(self._integers[1][row], row)
        return found

    @cached_property
    def _derivatives(self) -> dict[tuple[str, str], array[int]]:
        found: dict[tuple[str, str], array[int]] = {}
        _, _, exchanges, names, _, types, _ = self._texts
        for row, kind in enumerate(types):
            if kind in OPTION_TYPES or kind == FUTURE:
                found.setdefault((exchanges[row], names[row]), array("I")).append(row)
        return found

    @cached_property
    def _near(self) -> NearNames:
        return NearNames(self._names)


def _either(first: str | None, second: str) -> str:
    return second if first is None else first


def load(file: Path | str | None = None) -> Catalogue:
    """Return the catalogue of a store: the given file, else the default one.

    Raises NoInstruments with the command that makes one, BadInstruments for a broken file.
    """
    path = default_file() if file is None else Path(file)
    with open_store(path) as database:
        return Catalogue(database, info_of(database, path))
