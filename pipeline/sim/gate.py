"""Gating: load mode sends no faster than a named reader takes ticks. Floor 4.

Per pipeline connection, sent minus delivered stays within a quarter of a tick stream. How far the
reader has come is `reader_page.py`'s to say; this file is the arithmetic. A session begins with
nothing in flight. Should ticks vanish on the way (that is for the verdict to find), the reader
would never get to them: when it keeps waiting for ticks and none of these moves, the account is
closed and begun anew, and `reopened` counts it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

_UNGATED: Final = 1 << 62
_WAIT_S: Final = 0.0002
_ABSENT_WAIT_S: Final = 0.02
_WORTHWHILE: Final = 8
_IDLE_WAITS: Final = 3
_STUCK_S: Final = 2.0


class Delivered(Protocol):
    """Says how far the named reader has come."""

    def attached(self) -> bool:
        """Whether the reader is there; raises PipelineError once it was and has died."""

    def idle_waits(self) -> int:
        """Return how often the reader has waited for ticks, ever."""

    def window(self, connection: int) -> int:
        """How many ticks of this connection may be under way."""

    def delivered(self, connection: int) -> int | None:
        """Return how many ticks of this connection it has passed, ever; None: it has no cursor."""


class Gated(Protocol):
    """What the gate needs of a client."""

    @property
    def connection(self) -> int: ...
    @property
    def packets_queued(self) -> int: ...
    @property
    def pending_bytes(self) -> int: ...


@dataclass
class _Account:
    client: Gated
    base: int  # delivered minus sent, when the account was opened
    passed: int
    moved_s: float
    idle_waits: int  # of the reader, when it last moved


class Gate:
    """Budgets per client, by what the reader has passed."""

    def __init__(self, reader: Delivered) -> None:
        self._reader = reader
        self._accounts: dict[int, _Account] = {}
        self._waiting = False
        self._absent = False
        self.reopened = 0

    def begin_turn(self) -> None:
        """Forget that anybody had a budget."""
        self._waiting = True

    def opened(self, client: Gated) -> None:
        """Begin a session: what an earlier one of the same connection sent no longer counts."""
        self._accounts.pop(client.connection, None)

    def budget(self, client: Gated) -> int:
        """Return how many packets this client may be sent now; raises as `attached()` does.

        Less than a part of the window is not worth a turn, and is nothing.
        """
        if client.connection < 0:
            return _UNGATED
        self._absent = not self._reader.attached()
        budget = 0 if self._absent else self._budget(client, time.monotonic())
        self._waiting = self._waiting and budget == 0
        return budget

    def _budget(self, client: Gated, now_s: float) -> int:
        passed = self._reader.delivered(client.connection)
        if passed is None:
            return 0
        account = self._accounts.get(client.connection)
        if account is None or account.client is not client:
            base = passed - client.packets_queued
            account = _Account(client, base, passed, now_s, self._reader.idle_waits())
            self._accounts[client.connection] = account
        if passed != account.passed:
            account.passed, account.moved_s = passed, now_s
            account.idle_waits = self._reader.idle_waits()
        in_flight = client.packets_queued - (passed - account.base)
        window = self._reader.window(client.connection)
        budget = window - in_flight
        if budget <= 0 and now_s - account.moved_s > _STUCK_S:
            self._reopen(account, client, now_s)
        return budget if budget >= max(1, window // _WORTHWHILE) else 0

    def _reopen(self, account: _Account, client: Gated, now_s: float) -> None:
        idle_waits = self._reader.idle_waits()
        if client.pending_bytes == 0 and idle_waits > account.idle_waits + _IDLE_WAITS:
            self.reopened += 1
            account.base = account.passed - client.packets_queued
        account.moved_s, account.idle_waits = now_s, idle_waits

    def wait_s(self) -> float:
        """Return how long to wait before asking again."""
        if not self._waiting:
            return 0.0
        return _ABSENT_WAIT_S if self._absent else _WAIT_S
