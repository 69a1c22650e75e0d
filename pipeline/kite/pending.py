"""A connect() that is under way, and what is asked of it meanwhile. Floor 7.

Starting an instance takes half a second, more on a busy machine. What another thread or a signal
handler asks for in that time is kept here, and done as soon as there is a session to do it with.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.kite.session import Session


class _Close(NamedTuple):
    code: int | None
    reason: str | None


class Pending:
    """Takes what a Session takes before there is one; used under the ticker's lock."""

    def __init__(self) -> None:
        self.stopped = False
        self._close: _Close | None = None
        self._retrying = True

    def stop(self) -> None:
        """Ask for the end as soon as there is something to end."""
        self.stopped = True

    def close(self, code: int | None, reason: str | None) -> None:
        """Ask for the connection's end as soon as there is one."""
        self._close = _Close(code, reason)

    def stop_retry(self) -> None:
        """Ask for no second attempt."""
        self._retrying = False

    def hand_over(self, session: Session) -> None:
        """Ask the session for all that was asked for before it was there."""
        if not self._retrying:
            session.stop_retry()
        if self._close is not None:
            session.close(*self._close)
        if self.stopped:
            session.stop()
