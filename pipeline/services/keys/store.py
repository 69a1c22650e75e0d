"""The keys' file: SQLite, mode 0600, one row per key, digests instead of keys. Floor 4.

Each call opens the file anew, so that any thread and any process may call, and a key that another
process made or revoked counts at once. `verify` costs less than a millisecond and still belongs off
an event loop: it touches a disk.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from pipeline.core.errors import PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.folders import data_directory
from pipeline.services.keys.text import is_key_id, new_key, read_key

#: For how long a page's key is good.
PAGE_KEY_S: Final = 12 * 3600
#: Whose an account is when nobody says so.
DEFAULT_OWNER: Final = "default"

NAME_ALLOWED: Final = "1 to 64 of letters, digits and . _ @ -, a letter or digit first"
ACCOUNT_ALLOWED: Final = "1 to 32 of a-z, 0-9 and -"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ACCOUNT: Final = re.compile(r"[a-z0-9-]{1,32}")

_FILE: Final = "keys.sqlite"
_TIMEOUT_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS key (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL, name TEXT NOT NULL, account TEXT NOT NULL,
    created_s INTEGER NOT NULL, expires_s INTEGER
) WITHOUT ROWID
"""

# What an unknown id is compared with: never the digest of anything that can be sent.
_NOBODYS: Final = secrets.token_bytes(32)


class KeyStoreError(PipelineError):
    """The keys cannot be read or kept; the text has no key in it."""


class BadKeyName(KeyStoreError):
    """A key was asked for under a name, or for an account, that cannot be."""

    exit_code = ExitCode.USAGE


class Principal(NamedTuple):
    """Who a key lets in. `owner` is None when the instance has no such account."""

    key_id: str
    name: str
    account: str
    owner: str | None


class KeyInfo(NamedTuple):
    """A key as it is listed; `expires_s` is None when it is good until it is revoked."""

    key_id: str
    name: str
    account: str
    created_s: int
    expires_s: int | None


def default_file() -> Path:
    """Return where keys are kept unless the config says otherwise."""
    return data_directory() / _FILE


class KeyStore:
    """The keys of one file; `owners` has the owner of each account of the instance.

    Without `owners` every account has the same one. `now_s` is the clock that keys expire by.
    """

    def __init__(
        self,
        file: Path,
        owners: Mapping[str, str] | None = None,
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.file = file
        self._owners = owners
        self._now_s = now_s

    def verify(self, text: str) -> Principal | None:
        """Return whom a key lets in, None if nobody; KeyStoreError when that cannot be told.

        An unknown id, a wrong secret and an expired key take the same way to the same answer.
        """
        key_id, digest = read_key(text)
        rows = self._read("SELECT digest, name, account, expires_s FROM key WHERE id = ?", key_id)
        expected, name, account, expires_s = rows[0] if rows else (_NOBODYS, "", "", None)
        same = hmac.compare_digest(digest, bytes(expected))
        alive = expires_s is None or expires_s > self._now_s()
        if not (rows and same and alive):
            return None
        return Principal(key_id, name, account, self.owner(account))

    def owner(self, account: str) -> str | None:
        """Return whose an account is; None when the instance has no such account."""
        return DEFAULT_OWNER if self._owners is None else self._owners.get(account)

    def valid(self, key_ids: Iterable[str]) -> frozenset[str]:
        """Return those of the ids whose keys are still good: for clients that are in already."""
        return frozenset(key_ids) & {info.key_id for info in self.list()}

    def add(self, name: str, account: str, expires_s: float | None = None) -> str:
        """Make a key and return it: nobody can show it again. `expires_s`: for how long."""
        _check("the name", name, _NAME, NAME_ALLOWED)
        _check("the account", account, _ACCOUNT, ACCOUNT_ALLOWED)
        text = new_key()
        now_s = int(self._now_s())
        ends_s = None if expires_s is None else now_s + int(expires_s)
        row = (*read_key(text), name, account, now_s, ends_s)
        with closing(self._open()) as database:
            try:
                with database:
                    database.execute("DELETE FROM key WHERE expires_s <= ?", (now_s,))
                    database.execute("INSERT INTO key VALUES (?, ?, ?, ?, ?, ?)", row)
            except sqlite3.Error as error:
                raise self._failed("written", error) from None
        return text

    def list(self) -> tuple[KeyInfo, ...]:
        """Return the keys that are good, the oldest first."""
        rows = self._read(
            "SELECT id, name, account, created_s, expires_s FROM key"
            " WHERE expires_s IS NULL OR expires_s > ? ORDER BY created_s, id",
            self._now_s(),
        )
        return tuple(KeyInfo(*row) for row in rows)

    def revoke(self, key_id: str) -> bool:
        """Forget a key; False when there is none of that id."""
        if not (is_key_id(key_id) and self.file.exists()):
            return False
        with closing(self._open()) as database:
            try:
                with database:
                    done = database.execute("DELETE FROM key WHERE id = ?", (key_id,))
            except sqlite3.Error as error:
                raise self._failed("written", error) from None
            return done.rowcount > 0

    def _read(self, query: str, parameter: str | float) -> Sequence[tuple[Any, ...]]:
        try:
            if _checked(self.file).st_size == 0:
                return []  # its first writer has not come to the schema
            # Not "ro": what a killed writer left half done could not be undone.
            address = f"file:{quote(str(self.file.absolute()))}?mode=rw"
            with closing(sqlite3.connect(address, timeout=_TIMEOUT_S, uri=True)) as database:
                return database.execute(query, (parameter,)).fetchall()
        except FileNotFoundError:
            return []
        except (sqlite3.Error, OSError) as error:
            raise self._failed("read", error) from None

    def _open(self) -> sqlite3.Connection:
        """Open the file for writing; it and its folder are made if they are not there."""
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made by us, not by SQLite: with its mode from the first moment on.
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.file.chmod(0o600)
            database = sqlite3.connect(self.file, timeout=_TIMEOUT_S)
        except (sqlite3.Error, OSError) as error:
            raise self._failed("opened", error) from None
        try:
            database.execute(_SCHEMA)
        except sqlite3.Error as error:
            database.close()
            raise self._failed("opened", error) from None
        return database

    def _failed(self, what: str, error: sqlite3.Error | OSError) -> KeyStoreError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return KeyStoreError(
            f"the API keys in {self.file} cannot be {what} ({reason}): it must be a file of yours, "
            "in a folder of yours, and hold nothing else"
        )


def _checked(file: Path) -> os.stat_result:
    """Return a file's state; refuse it when others can write it, and so let themselves in."""
    status = file.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, f"others can write it; run: chmod 600 {file}")
    return status


def _check(what: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(value):
        shown = ascii(value) if len(value) <= 80 else f"{len(value)} characters"
        raise BadKeyName(f"{what} of a key: found {shown}; expected {allowed}")
