"""A few instruments out of the list, without all of it in memory. Floor 2.

What a strategy needs: names that it has asked for before cost one look into a dict, new ones a
query. The whole catalogue is loaded for windows and ranges, and to say what an unknown name
looks like.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pipeline.core.errors import BadForm
from pipeline.core.forms import ByNumber, ByToken, Single, parse_form
from pipeline.core.instrument import Instrument
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.resolving import SpotPrice
from pipeline.instruments.store import connect, default_file, unusable

_COLUMNS: Final = (
    "instrument_token, substr(key, 1, instr(key, ':') - 1), substr(key, instr(key, ':') + 1), "
    "name, segment, instrument_type, expiry, strike, tick_size, lot_size, exchange_token, "
    "last_price"
)
_BY_TOKEN: Final = f"SELECT {_COLUMNS} FROM instrument WHERE instrument_token = ?"
_BY_KEY: Final = f"SELECT {_COLUMNS} FROM instrument WHERE key = ?"
_BY_OPENALGO: Final = f"SELECT {_COLUMNS} FROM instrument WHERE openalgo = ?"
_BY_NUMBER: Final = (
    f"SELECT {_COLUMNS} FROM instrument WHERE openalgo_exchange = ? AND exchange_token = ? LIMIT 1"
)


class Lookup:
    """The list in a file, asked for single instruments; threads may share one.

    It stays with the list that was there when it was first used.
    """

    def __init__(self, file: Path | str | None = None) -> None:
        self.file = default_file() if file is None else Path(file)
        self._found: dict[str | int, Instrument] = {}
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._catalogue: Catalogue | None = None

    def find(self, form: str | int) -> Instrument:
        """Return an instrument by any of its names; raise as Catalogue.find does."""
        found = self._found.get(form)
        if found is None:
            found = self._ask(form)
            if found is None:
                found = self.catalogue().find(form)  # which says what it looks like
            self._found[form] = found
        return found

    def token(self, form: str | int) -> int:
        """Return an instrument's token; raise as `find` does."""
        return self.find(form).instrument_token

    def tokens(self, forms: Iterable[str | int], *, spot: SpotPrice | None = None) -> list[int]:
        """Return the tokens that forms of every kind stand for, in their order.

        Integers are taken as they are. Raises UnknownInstruments with all that are unknown.
        """
        given = list(forms)
        found: list[int] = []
        for form in given:
            if not isinstance(form, str):
                found.append(form)
                continue
            known = self._found.get(form) or self._ask(form)
            if known is None:
                return self._resolve(given, spot)
            self._found[form] = known
            found.append(known.instrument_token)
        return found

    def _resolve(self, forms: list[str | int], spot: SpotPrice | None) -> list[int]:
        names = [form for form in forms if isinstance(form, str)]
        resolved = self.catalogue().resolve(names, spot=spot)
        resolved.require()
        return resolved.in_order(forms)

    def catalogue(self) -> Catalogue:
        """Return the whole list, loaded once."""
        with self._lock:
            if self._catalogue is None:
                self._catalogue = load(self.file)
            return self._catalogue

    def close(self) -> None:
        """Close the file; the next question opens it again."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _ask(self, form: str | int) -> Instrument | None:
        try:
            parsed = parse_form(form)
        except BadForm:
            return None
        return self._query(parsed) if isinstance(parsed, Single) else None

    def _query(self, form: Single) -> Instrument | None:
        with self._lock:
            if self._database is None:
                self._database = connect(self.file)
            for question, values in _questions(form):
                try:
                    row = self._database.execute(question, values).fetchone()
                except sqlite3.Error as error:
                    raise unusable(self.file, str(error)) from None
                if row is not None:
                    return Instrument(*row)
        return None


def _questions(form: Single) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    if isinstance(form, ByToken):
        yield _BY_TOKEN, (form.token,)
    elif isinstance(form, ByNumber):
        yield _BY_NUMBER, (form.exchange, form.number)
    else:
        yield _BY_KEY, (str(form),)
        yield _BY_OPENALGO, (str(form),)


_shared: dict[tuple[Path, int, int], Lookup] = {}
_shared_lock = threading.Lock()


def shared(file: Path | str | None = None) -> Lookup:
    """Return this process's lookup of a list; another one once the list was replaced."""
    path = default_file() if file is None else Path(file)
    try:
        status = path.stat()
    except OSError:
        return Lookup(path)  # whose first question says what is the matter
    identity = (path, status.st_ino, status.st_mtime_ns)
    with _shared_lock:
        found = _shared.get(identity)
        if found is None:
            for old in [key for key in _shared if key[0] == path]:
                _shared.pop(old).close()
            found = _shared[identity] = Lookup(path)
    return found


def find(form: str | int, file: Path | str | None = None) -> Instrument:
    """Return an instrument by any of its names: `NSE:INFY`, OpenAlgo's, `NSE:#1594`, a token.

    file: the list; by default where `instruments sync` puts it. Raises UnknownInstruments with
    near names, BadForm for what names no single instrument, NoInstruments when there is no list.
    """
    return shared(file).find(form)
