"""From the states of connections to KiteTicker's callbacks, in kiteconnect's order. Floor 7; pure.

kiteconnect 5.2.2 as observed: `on_error` comes before `on_close`, and only when the closing was
not clean; `on_reconnect(n)` when the n-th attempt in a row has failed; `on_noreconnect` when that
was one too many. A refused TCP connection gives neither `on_error` nor `on_close`.

A feed tries more often than kiteconnect would. Attempts count as often as its would have failed by
then, so that `reconnect_max_tries` outlast the same outage; those in between are not told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, State
from pipeline.strategy.items import StateChange

UNCLEAN: Final = 1006
CLOSE_WITHOUT_CODE: Final = 1005

_ENDINGS: Final = frozenset({State.RECONNECTING, State.LIMITED, State.AUTH_EXPIRED, State.FAILED})
_NEVER_OPEN: Final = frozenset(
    {Reason.RESOLVE_FAILED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.TLS_FAILED}
)
_REFUSALS: Final = frozenset({Reason.HTTP_STATUS, Reason.AUTH_REJECTED, Reason.RATE_LIMITED})
_STEP_MAX: Final = 30
_DROPPED: Final = frozenset({Reason.EOF, Reason.RESET})
DROPPED_TEXT: Final = (
    "connection was closed uncleanly (peer dropped the TCP connection without previous "
    "WebSocket closing handshake)"
)


class Call(NamedTuple):
    """A callback by its name without `on_`, and what it is given after `ws`."""

    name: str
    arguments: tuple[object, ...] = ()


class Ending(NamedTuple):
    """How a connection ended, or an attempt at one; `told` is False where kiteconnect is silent."""

    code: int | None
    text: str | None
    clean: bool = False
    told: bool = True


class Story:
    """What a user is called back with, from the state changes of all connections of one ticker.

    The ticker counts as connected while every connection is open: `connections` are the numbers of
    those that there are at first; those of a pool come and go.
    `tries_max` failed attempts in a row are made up for; 0 when there shall be no attempt at all.
    `delay_max_s` is the longest pause that kiteconnect would make between two of them.
    After `over` nothing follows.
    """

    def __init__(
        self, connections: Iterable[int], *, tries_max: int, delay_max_s: float = 0.0
    ) -> None:
        self._known = set(connections)
        self._tries_max = tries_max
        self._delay_max_s = delay_max_s
        self._since_ns: dict[int, int] = {}
        self._open: set[int] = set()
        self._tries: dict[int, int] = {}
        self.connected = False
        self.retrying = True
        self.over = False

    def take(self, change: StateChange, close_reason: Callable[[], str]) -> Iterator[Call]:
        """Yield the callbacks of one change; `close_reason` tells the server's words, if any."""
        if self.over:
            return
        if (change.state, change.reason) == (State.SUBSCRIBING, Reason.CONNECTED):
            yield from self._opened(change.connection)
        elif change.state is State.CLOSED:
            yield from self._removed(change.connection)
        elif change.state in _ENDINGS and not _is_a_wait(change):
            yield from self._ended(change, describe(change, close_reason))

    def join(self, connection: int) -> Iterator[Call]:
        """Yield the callbacks of a connection that was open before we came."""
        yield from self._opened(connection)

    def join_pool(self) -> Iterator[Call]:
        """Yield the callbacks of a pool: it may be asked before it has any connection."""
        if not self.connected:
            self.connected = True
            yield Call("connect")

    def finish(self, ending: Ending) -> Iterator[Call]:
        """Yield the callbacks of the end, whoever brought it about."""
        was_connected, self.connected, self.over = self.connected, False, True
        if was_connected:
            yield from _told(ending)

    def _opened(self, connection: int) -> Iterator[Call]:
        self._known.add(connection)
        self._open.add(connection)
        self._tries[connection] = 0
        yield from self._all_open()

    def _removed(self, connection: int) -> Iterator[Call]:
        self._known.discard(connection)
        self._open.discard(connection)
        if self._known:
            yield from self._all_open()

    def _all_open(self) -> Iterator[Call]:
        if self._open >= self._known and not self.connected:
            self.connected = True
            yield Call("connect")

    def _ended(self, change: StateChange, ending: Ending) -> Iterator[Call]:
        self._known.add(change.connection)
        was_open = change.connection in self._open
        was_connected, self.connected = self.connected, False
        self._open.discard(change.connection)
        tries = self._tries.get(change.connection, 0)
        if tries == 0:
            self._since_ns[change.connection] = change.mono_ns
        elif not was_connected and self._is_early(change, tries):
            return
        if was_connected or (not was_open and ending.told):
            yield from _told(ending)
        if tries > 0:
            yield Call("reconnect", (tries,))
        self._tries[change.connection] = tries + 1
        if not self.retrying:
            self.over = True
        elif tries + 1 > self._tries_max or change.state is State.AUTH_EXPIRED:
            self.over = True
            yield Call("noreconnect")

    def _is_early(self, change: StateChange, tries: int) -> bool:
        """Whether kiteconnect would not have tried so often yet; the first is told in any case."""
        if tries == 1 or not self.retrying or change.state is State.AUTH_EXPIRED:
            return False
        spent_ns = change.mono_ns - self._since_ns[change.connection]
        return spent_ns < waited_s(tries, self._delay_max_s) * NS_PER_S


def waited_s(tries: int, delay_max_s: float) -> float:
    """Return how long kiteconnect waits, in all, before its attempts fail for the n-th time."""
    return sum(min(math.exp(min(n, _STEP_MAX)), delay_max_s) for n in range(tries))


def describe(change: StateChange, close_reason: Callable[[], str]) -> Ending:
    """Return an ending as kiteconnect tells it."""
    reason = change.reason
    if reason is Reason.CLOSE_FRAME:
        code = None if change.detail == CLOSE_WITHOUT_CODE else change.detail
        return Ending(code, close_reason() or None, clean=True)
    if reason in _DROPPED:
        return Ending(UNCLEAN, DROPPED_TEXT)
    if reason in _REFUSALS:
        status = change.detail or HTTPStatus.FORBIDDEN
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
        why = f"WebSocket connection upgrade failed ({int(status)} - {phrase})"
    else:
        why = reason.name.lower().replace("_", " ")
    text = f"connection was closed uncleanly ({why})"
    return Ending(UNCLEAN, text, told=reason not in _NEVER_OPEN)


def _is_a_wait(change: StateChange) -> bool:
    """Whether a feed only waits for its key's turn, before any handshake."""
    return change.state is State.LIMITED and not change.detail


def _told(ending: Ending) -> Iterator[Call]:
    if not ending.clean:
        yield Call("error", (ending.code, ending.text))
    yield Call("close", (ending.code, ending.text))
