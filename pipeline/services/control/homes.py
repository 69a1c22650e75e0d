"""Which account carried an instrument last, kept over restarts. Floor 4.

A file of SQLite, one row per instance and instrument. Only of use where there are several API keys
to choose from. What cannot be read or written is told once and costs nothing else: then instruments
are placed as if for the first time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS home (
    instance TEXT NOT NULL, instrument_token INTEGER NOT NULL, account TEXT NOT NULL,
    PRIMARY KEY (instance, instrument_token)
) WITHOUT ROWID
"""
_TIMEOUT_S: Final = 2.0

_log = logging.getLogger(__name__)


class Homes:
    """The file, for one instance; used from one thread at a time."""

    def __init__(self, file: Path, instance: str) -> None:
        self._file = file
        self._instance = instance
        self._saved: dict[int, str] = {}
        self._complained = False

    def read(self) -> dict[int, str]:
        """Return {instrument token: account}; empty where nothing can be read."""
        if not self._file.exists():
            return {}
        try:
            with closing(self._open()) as database:
                rows = database.execute(
                    "SELECT instrument_token, account FROM home WHERE instance = ?",
                    (self._instance,),
                )
                self._saved = {int(token): str(account) for token, account in rows}
        except (sqlite3.Error, OSError, ValueError) as error:
            self._complain("read", error)
        return dict(self._saved)

    def save(self, homes: Mapping[int, str]) -> None:
        """Make the file say this, if it does not already."""
        if homes == self._saved:
            return
        changed = [
            (self._instance, token, account)
            for token, account in homes.items()
            if self._saved.get(token) != account
        ]
        gone = [(self._instance, token) for token in self._saved.keys() - homes.keys()]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO home VALUES (?, ?, ?)", changed)
                database.executemany(
                    "DELETE FROM home WHERE instance = ? AND instrument_token = ?", gone
                )
        except (sqlite3.Error, OSError) as error:
            self._complain("written", error)
            return
        self._saved = dict(homes)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=_TIMEOUT_S)
        try:
            self._file.chmod(0o600)
            database.execute(_SCHEMA)
        except BaseException:
            database.close()
            raise
        return database

    def _complain(self, what: str, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            _log.warning(
                f"{self._file} cannot be {what} ({error}): after a restart instruments may go to "
                "another account than before"
            )
