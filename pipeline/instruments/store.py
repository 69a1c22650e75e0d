"""The instrument list on disk: one SQLite file, replaced as a whole. Floor 2.

Written beside the one that is there and renamed over it, so that a reader has the old list or the
new one, and a list that looks like a part of one never replaces a good one. No network here: rows
come from whoever calls.
"""

from __future__ import annotations

import contextlib
import glob
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pipeline.core.clock import IST
from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.core.folders import data_directory
from pipeline.core.instrument import Instrument, Skips
from pipeline.instruments.openalgo import openalgo_exchange, openalgo_key

SYNC_COMMAND: Final = "python -m pipeline instruments sync"
#: Where Kite publishes its list each morning, for everybody.
LIST_ADDRESS: Final = "https://api.kite.trade/instruments"
_APPLICATION_ID: Final = 0x7449_6E73
_VERSION: Final = 1
_FILE: Final = "instruments.sqlite"
_PARTIAL: Final = ".partial"
_PARTIAL_AGE_MAX_S: Final = 3600.0
#: Of the rows of a list, so many may be broken, and so many of the last list's may be gone.
_SKIPPED_SHARE_MAX: Final = 0.05
_KEPT_SHARE_MIN: Final = 0.5
#: What `source` of a made-up list begins with; it does not replace a real one unasked.
SIMULATED: Final = "simulated"

_SCHEMA: Final = """
CREATE TABLE about (day TEXT, source TEXT, rows INTEGER, skipped INTEGER);
CREATE TABLE instrument (
    row INTEGER PRIMARY KEY, key TEXT, openalgo TEXT, openalgo_exchange TEXT,
    instrument_token INTEGER, exchange_token INTEGER, name TEXT, segment TEXT,
    instrument_type TEXT, expiry TEXT, strike REAL, tick_size REAL, lot_size INTEGER,
    last_price REAL
);
"""

#: For who looks up a few names and does not want all in memory.
_INDEXES: Final = """
CREATE INDEX by_key ON instrument (key);
CREATE INDEX by_openalgo ON instrument (openalgo) WHERE openalgo IS NOT NULL;
CREATE INDEX by_token ON instrument (instrument_token);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListInfo:
    """Where a list came from, of which day in India it is, and how many rows it has."""

    file: Path
    day: date
    source: str
    rows: int
    skipped: int

    def age_days(self, today: date) -> int:
        """Return how many days ago the list was made."""
        return (today - self.day).days


def today_in_india() -> date:
    """Return the date that it is in India, wherever this machine is."""
    return datetime.now(IST).date()


def default_file() -> Path:
    """Return where the list is kept unless the config says otherwise: the XDG data folder.

    Raises NoInstruments when this user has neither that nor a home.
    """
    try:
        return data_directory() / _FILE
    except RuntimeError:  # a user without an entry, as in some containers
        raise NoInstruments(
            "this user has no home folder for the instrument list: set XDG_DATA_HOME, or name the "
            "list with [instruments] file in the config (commands: --file)"
        ) from None


def write_store(
    instruments: Iterable[Instrument],
    *,
    file: Path,
    source: str,
    day: date | None = None,
    skips: Skips | None = None,
    force: bool = False,
) -> ListInfo:
    """Replace the list in `file`, and return what is in it now.

    source: what to tell people, such as "csv instruments.csv". skips: rows that whoever reads
    `instruments` passed over; repeated tokens and names are added to it. Raises BadInstruments,
    and leaves the old list, when the new one is empty, has over 5 % broken rows, has less than
    half of the old one's rows, or is a simulated one in a real one's place; `force` overrides
    all but the first. Raises BadInstruments for a folder that cannot be written, too.
    """
    skips = Skips() if skips is None else skips
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(file)
        handle, name = tempfile.mkstemp(_PARTIAL, f".{file.name}.", file.parent)  # mode 0600
    except OSError as error:
        raise BadInstruments(f"{file}: {error.strerror}; name another file") from None
    os.close(handle)
    temporary = Path(name)
    try:
        count = _fill(temporary, instruments, skips)
        info = ListInfo(
            file=file, day=day or today_in_india(), source=source, rows=count, skipped=skips.count
        )
        _check_replacement(info, skips, force=force)
        _describe(temporary, info)
        _sync(temporary)
        temporary.replace(file)
        _sync(file.parent)
    except (OSError, sqlite3.Error) as error:
        raise BadInstruments(f"{file} cannot be written: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return info


def _sweep(file: Path) -> None:
    """Remove what a sync that was killed has left; one that is under way is younger."""
    for left in file.parent.glob(f".{glob.escape(file.name)}.*{_PARTIAL}"):
        if time.time() - left.stat().st_mtime > _PARTIAL_AGE_MAX_S:
            left.unlink(missing_ok=True)


def _fill(file: Path, instruments: Iterable[Instrument], skips: Skips) -> int:
    with contextlib.closing(sqlite3.connect(file)) as database:
        # Nobody reads this file before it is whole, and a broken one is thrown away.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        rows = _rows(instruments, skips)
        database.executemany(f"INSERT INTO instrument VALUES ({','.join('?' * 14)})", rows)
        database.executescript(_INDEXES)
        database.commit()
        count: int = database.execute("SELECT count(*) FROM instrument").fetchone()[0]
    return count


def _rows(instruments: Iterable[Instrument], skips: Skips) -> Iterator[tuple[object, ...]]:
    """Yield what is inserted; the first of two rows with one token or name is kept."""
    tokens: set[int] = set()
    keys: set[str] = set()
    for row, found in enumerate(instruments):
        key = found.key
        if found.instrument_token in tokens or key in keys:
            again = key if key in keys else f"token {found.instrument_token}"
            skips.add(row + 1, f"{again} again")
            continue
        tokens.add(found.instrument_token)
        keys.add(key)
        openalgo = openalgo_key(found)
        yield (
            *(row, key, None if openalgo == key else openalgo, openalgo_exchange(found)),
            *(found.instrument_token, found.exchange_token, found.name, found.segment),
            *(found.instrument_type, found.expiry, found.strike, found.tick_size),
            *(found.lot_size, found.last_price),
        )


def _check_replacement(new: ListInfo, skips: Skips, *, force: bool) -> None:
    shown = f" ({'; '.join(skips.examples)})" if skips.examples else ""
    if not new.rows:
        raise BadInstruments(f"{new.source}: no instrument in it{shown}; {new.file} is as it was")
    if force:
        return
    kept = f"{new.file} is as it was; --force replaces it all the same"
    given = new.rows + skips.count
    if skips.count > _SKIPPED_SHARE_MAX * given:
        raise BadInstruments(
            f"{new.source}: {skips.count} of {given} rows are broken{shown}; {kept}"
        )
    old = _old_info(new.file)
    if old is None:
        return
    if new.rows < _KEPT_SHARE_MIN * old.rows:
        raise BadInstruments(
            f"{new.source}: {new.rows} instruments, and the list of {old.day} ({old.source}) has "
            f"{old.rows}: this looks like a part of one; {kept}"
        )
    if new.source.startswith(SIMULATED) and not old.source.startswith(SIMULATED):
        raise BadInstruments(
            f"a simulated list would replace a real one, of {old.day} ({old.source}); {kept}"
        )


def _old_info(file: Path) -> ListInfo | None:
    try:
        return read_info(file)
    except (BadInstruments, NoInstruments):
        return None


def _describe(file: Path, info: ListInfo) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        values = (info.day.isoformat(), info.source, info.rows, info.skipped)
        database.execute("INSERT INTO about VALUES (?,?,?,?)", values)
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {_VERSION}")
        database.commit()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def age_warning(info: ListInfo, today: date | None = None) -> str:
    """Return a line about a list that is not of today in India, else nothing."""
    age = info.age_days(today or today_in_india())
    if age == 0:
        return ""
    days = f"{abs(age)} day{'s' if abs(age) != 1 else ''}"
    how = f"{days} old" if age > 0 else f"{days} ahead of this machine's clock"
    return (
        f"the instrument list {info.file} is of {info.day}, {how}; contracts come and go each day: "
        f"{SYNC_COMMAND}"
    )


def read_info(file: Path) -> ListInfo:
    """Return what a store says about itself; raise NoInstruments or BadInstruments."""
    with open_store(file) as database:
        return info_of(database, file)


def info_of(database: sqlite3.Connection, file: Path) -> ListInfo:
    """As `read_info`, of a store that is open."""
    try:
        row = database.execute("SELECT day, source, rows, skipped FROM about").fetchone()
        day, source, rows, skipped = row
        return ListInfo(
            file=file, day=date.fromisoformat(day), source=source, rows=rows, skipped=skipped
        )
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise _unusable(file, str(error)) from None


@contextlib.contextmanager
def open_store(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a store to read; raise NoInstruments, or BadInstruments for anything else there."""
    if not file.exists():
        raise NoInstruments(
            f"there is no instrument list in {file}: make one with `{SYNC_COMMAND} --csv FILE`, "
            f"where FILE is from {LIST_ADDRESS}, or with `{SYNC_COMMAND} --simulated` for the "
            "simulated exchange"
        )
    try:
        # Never changed in place, so no locks; and a read leaves no file beside it.
        address = f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1"
        database = sqlite3.connect(address, uri=True)
    except sqlite3.Error as error:
        raise _unusable(file, str(error)) from None
    with contextlib.closing(database):
        _check_kind(database, file)
        try:
            yield database
        except sqlite3.Error as error:
            raise _unusable(file, str(error)) from None


def _check_kind(database: sqlite3.Connection, file: Path) -> None:
    try:
        kind = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise _unusable(file, str(error)) from None
    if kind != _APPLICATION_ID:
        raise _unusable(file, "not an instrument list of ours")
    if version != _VERSION:
        raise _unusable(file, f"of version {version}, and this build reads {_VERSION}")


def _unusable(file: Path, reason: str) -> BadInstruments:
    return BadInstruments(f"{file}: {reason}; make it anew with `{SYNC_COMMAND}`")
