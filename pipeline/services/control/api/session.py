"""A browser's session: a one-time ticket becomes a cookie. Floor 4; no HTTP, time is passed in.

The printed address carries a ticket behind its `#`: what stands there is sent to no server, and so
is in no log and no Referer. The page gives it back in a body, once, for a cookie that no script can
read. Kept are digests only; sessions outlive the control process in a file of the instance (0600),
tickets do not.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

import msgspec

from pipeline.core.clock import NS_PER_S

TICKET_S: Final = 300
SESSION_S: Final = 12 * 3600
#: More push out the oldest.
TICKETS_MAX: Final = 32
SESSIONS_MAX: Final = 64
_RANDOM_BYTES: Final = 32
_COOKIES_LENGTH_MAX: Final = 8192

_log = logging.getLogger(__name__)


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came by a printed address, until a moment; `number` is a digest, no secret.

    `account`: whose owner's part it is shown; empty: all of the instance, with the prices of the
    first one's. `key_id`: of its page's API key.
    """

    number: str
    ends_ts_ns: int
    account: str = ""
    key_id: str = ""


class Entered(msgspec.Struct, frozen=True):
    """A session that begins, and the value of its cookie."""

    session: Session
    value: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Session]).decode


class Sessions:
    """The tickets and sessions of an instance. `now` is UTC nanoseconds everywhere."""

    def __init__(self, instance: str, file: Path) -> None:
        #: Browsers send the cookies of a host to all its ports: each instance has its own name.
        self.cookie = f"session-{instance}"
        self._file = file
        self._tickets: dict[str, Session] = {}
        self._sessions: dict[str, Session] = {}
        self._complained = False

    def restore(self, now: int, accounts: Container[str]) -> None:
        """Go on with the sessions that the file has; not with those of accounts that are gone."""
        try:
            found = _decode(self._file.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._complain(f"cannot be read, whoever was signed in is not any more: {error}")
            return
        self._sessions = {one.number: one for one in found if one.ends_ts_ns > now}
        for number, one in list(self._sessions.items()):
            if one.account and one.account not in accounts:
                del self._sessions[number]

    def issue_ticket(self, now: int, account: str = "") -> str:
        """Return a ticket that is good once, for `TICKET_S`."""
        text = secrets.token_urlsafe(_RANDOM_BYTES)
        ends = now + TICKET_S * NS_PER_S
        _make_room(self._tickets, TICKETS_MAX)
        number = _digest(text)
        self._tickets[number] = Session(number=number, ends_ts_ns=ends, account=account)
        return text

    def enter(self, ticket: str, now: int) -> Entered | None:
        """Begin the session of a ticket; None for one that is wrong, used or too old."""
        found = self._tickets.pop(_digest(ticket), None)
        if found is None or found.ends_ts_ns <= now:
            return None
        value = secrets.token_urlsafe(_RANDOM_BYTES)
        ends = now + SESSION_S * NS_PER_S
        session = Session(number=_digest(value), ends_ts_ns=ends, account=found.account)
        self._sessions = {n: one for n, one in self._sessions.items() if one.ends_ts_ns > now}
        _make_room(self._sessions, SESSIONS_MAX)
        self._sessions[session.number] = session
        self._save()
        return Entered(session, value)

    def find(self, value: str, now: int) -> Session | None:
        """Return the session of a cookie's value."""
        found = self._sessions.get(_digest(value))
        return found if found is not None and found.ends_ts_ns > now else None

    def end(self, session: Session) -> None:
        """Sign somebody out."""
        if self._sessions.pop(session.number, None) is not None:
            self._save()

    def key_id(self, session: Session) -> str:
        """Return the id of the API key of a session's page."""
        found = self._sessions.get(session.number)
        return "" if found is None else found.key_id

    def note_key(self, session: Session, key_id: str) -> None:
        """Remember the API key of a session's page, if the session still goes on."""
        found = self._sessions.get(session.number)
        if found is not None:
            self._sessions[session.number] = msgspec.structs.replace(found, key_id=key_id)
            self._save()

    def is_open(self, number: str, now: int) -> bool:
        """Whether the session of that number goes on."""
        found = self._sessions.get(number)
        return found is not None and found.ends_ts_ns > now

    def _save(self) -> None:
        unfinished = self._file.with_suffix(".new")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encode(list(self._sessions.values())))
            unfinished.replace(self._file)
        except OSError as error:
            self._complain(f"cannot be written: {error.strerror}")

    def _complain(self, text: str) -> None:
        if not self._complained:
            _log.warning(f"{self._file.name}: {text}")
        self._complained = True


def csrf_token(value: str) -> str:
    """Return what a request that changes something has to bring beside the cookie of that value.

    Made from the cookie, which no script can read and no other site's page can have.
    """
    return hmac.new(value.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf_token(value: str, given: str) -> bool:
    """Whether it is, without telling by the time how much of it is right."""
    return hmac.compare_digest(csrf_token(value).encode(), given.encode())


def read_cookie(header: str, name: str) -> str | None:
    """Return a cookie's value out of a `Cookie` header."""
    for part in header[:_COOKIES_LENGTH_MAX].split(";"):
        key, _, value = part.strip().partition("=")
        if key == name and value:
            return value
    return None


def set_cookie(name: str, value: str, *, secure: bool) -> str:
    """Return a `Set-Cookie` header; without a value it takes the cookie away.

    `secure`: the browser came by TLS, and shall not send it otherwise.
    """
    age = SESSION_S if value else 0
    tail = "; Secure" if secure else ""
    return f"{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{tail}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _make_room(found: Mapping[str, Session], most: int) -> None:
    assert isinstance(found, dict)
    while len(found) >= most:
        del found[next(iter(found))]
