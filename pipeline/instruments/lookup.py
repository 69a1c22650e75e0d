"""A few instruments out of the list, without all of it in memory. Floor 2.

What a strategy needs: names that it has asked for before cost one look into a dict, new ones a
query. The whole catalogue is loaded for windows and ranges, and to say what an unknown name
looks like.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.core.errors import BadForm
from pipeline.core.forms import ByName, ByNumber, ByToken, parse_form
from pipeline.core.instrument import Instrument
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.resolving import SpotPrice
from pipeline.instruments.store import default_file, open_store

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

    Nothing stays open between two questions. What was found once is not asked for again.
    """

    def __init__(self, file: Path | str | None = None) -> None:
        self.file = default_file() if file is None else Path(file)
        self._found: dict[str | int, Instrument] = {}
        self._lock = threading.Lock()
        self._catalogue: Catalogue | None = None

    def find(self, form: str | int) -> Instrument:
        """Return an instrument by any of its names; raise as Catalogue.find does."""
        found = self._found.get(form)
        if found is None:
            self._ask([form])
            # The catalogue says what an unknown one looks like.
            found = self._found.get(form) or self.catalogue().find(form)
        return found

    def token(self, form: str | int) -> int:
        """Return an instrument's token; raise as `find` does."""
        return self.find(form).instrument_token

    def tokens(self, forms: Iterable[str | int], *, spot: SpotPrice | None = None) -> list[int]:
        """Return the tokens that forms of every kind stand for, in their order.

        Integers are taken as they are. Raises UnknownInstruments with all that are unknown.
        """
        given = list(forms)
        names = [form for form in given if isinstance(form, str)]
        self._ask([name for name in names if name not in self._found])
        found = self._found
        if all(name in found for name in names):
            return [f if isinstance(f, int) else found[f].instrument_token for f in given]
        resolved = self.catalogue().resolve(names, spot=spot)
        resolved.require()
        return resolved.in_order(given)

    def catalogue(self) -> Catalogue:
        """Return the whole list, loaded once."""
        with self._lock:
            if self._catalogue is None:
                self._catalogue = load(self.file)
            return self._catalogue

    def _ask(self, forms: Sequence[str | int]) -> None:
        """Look for forms of single instruments in the file, and keep what is found."""
        questions = {form: list(_questions(form)) for form in forms}
        if not any(questions.values()):
            return
        with open_store(self.file) as database:
            for form, asked in questions.items():
                for question, values in asked:
                    row = database.execute(question, values).fetchone()
                    if row is not None:
                        self._found[form] = Instrument(*row)
                        break


def _questions(form: str | int) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    try:
        parsed = parse_form(form)
    except BadForm:
        return
    if isinstance(parsed, ByToken):
        yield _BY_TOKEN, (parsed.token,)
    elif isinstance(parsed, ByNumber):
        yield _BY_NUMBER, (parsed.exchange, parsed.number)
    elif isinstance(parsed, ByName):
        yield _BY_KEY, (str(parsed),)
        yield _BY_OPENALGO, (str(parsed),)


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
                del _shared[old]
            found = _shared[identity] = Lookup(path)
    return found


def find(form: str | int, file: Path | str | None = None) -> Instrument:
    """Return an instrument by any of its names: `NSE:INFY`, OpenAlgo's, `NSE:#1594`, a token.

    file: the list; by default where `instruments sync` puts it. Raises UnknownInstruments with
    near names, BadForm for what names no single instrument, NoInstruments when there is no list.
    """
    return shared(file).find(form)
