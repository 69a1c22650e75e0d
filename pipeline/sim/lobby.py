"""Sockets that nobody is a client on: not yet, or because they speak plain HTTP. Floor 4.

One port is for both. The first line of what arrives decides: an opening goes on to the exchange's
clients, byte for byte; REST stays here, is answered by the desk, and may ask again.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from pipeline.sim.conditions import FOREVER
from pipeline.sim.http import Answer, BadHttp, is_rest, read_request
from pipeline.sim.rest import Desk
from pipeline.sim.transport import PlainTransport

_FIRST_LINE_S: Final = 10.0
_IDLE_S: Final = 60.0
_SEND_BYTES: Final = 1 << 18
_RECEIVES_PER_TURN: Final = 16

#: What takes an opening over: its socket, what has arrived on it, and now.
Hand = Callable[[PlainTransport, list[bytes], float], None]


class Visitor:
    """One such socket."""

    def __init__(self, transport: PlainTransport, now_s: float) -> None:
        self.transport = transport
        self.received = b""
        self.ended = False
        self.is_rest: bool | None = None
        self.gone = False
        self.blocked = False
        self.deadline_s = now_s + _FIRST_LINE_S
        self._answers: deque[tuple[float, Answer, bool]] = deque()
        self._sending = bytearray()
        self._last = False

    def read(self) -> None:
        """Take what has arrived."""
        for _ in range(_RECEIVES_PER_TURN):
            try:
                data = self.transport.receive()
            except OSError:
                self.gone = True
                return
            if data is None:
                break
            self.received += data
            if not data:
                self.ended = True
                break
        if self.is_rest is None:
            self.is_rest = is_rest(self.received)
            if self.is_rest is None and self.ended:
                self.is_rest = False

    def ask(self, desk: Desk, now_s: float) -> None:
        """Have the whole requests that have arrived answered."""
        try:
            while (found := read_request(self.received)) is not None:
                asked, keep, self.received = found
                answer = desk.answer(asked, now_s)
                self._answers.append((now_s + answer.delay_s, answer, keep))
                self.deadline_s = FOREVER
        except BadHttp as error:
            answer = Answer(HTTPStatus.BAD_REQUEST, f"{error}\n".encode(), "text/plain")
            self._answers.append((now_s, answer, False))
            self.received = b""
        if self.ended and not self._answers and not self._sending:
            self.gone = True

    def flush(self, now_s: float) -> None:
        """Send the answers that are due, in the order of what was asked."""
        while self._answers and self._answers[0][0] <= now_s and not self._last:
            _, answer, keep = self._answers.popleft()
            if answer.drop:
                self.gone = True
                return
            self._last = not keep
            self._sending += answer.encode(keep=keep)
            self.deadline_s = now_s + _IDLE_S
        try:
            while self._sending and not self.blocked:
                sent = self.transport.write(self._sending[:_SEND_BYTES])
                del self._sending[:sent]
                self.blocked = not sent
        except OSError:
            self.gone = True
        over = not self._sending and (self._last or (self.ended and not self._answers))
        if (over and self.is_rest) or now_s >= self.deadline_s:
            self.gone = True

    def next_wake_s(self) -> float:
        """Return when it needs a turn though nothing arrives."""
        return min(self.deadline_s, self._answers[0][0] if self._answers else FOREVER)


class Lobby:
    """All visitors, watched by the server's selector; whoever is no visitor is handed on."""

    def __init__(self, selector: selectors.BaseSelector, desk: Desk, hand: Hand) -> None:
        self._selector = selector
        self._desk = desk
        self._hand = hand
        self._visitors: list[Visitor] = []

    def accept(self, transport: PlainTransport, now_s: float) -> None:
        """Take in an accepted socket."""
        visitor = Visitor(transport, now_s)
        self._visitors.append(visitor)
        self._watch(visitor, selectors.EVENT_READ)

    def turn(self, now_s: float) -> None:
        """Send what is due, and let those go that are done."""
        for visitor in list(self._visitors):
            visitor.flush(now_s)
            if visitor.gone:
                self._leave(visitor)
                visitor.transport.close()
                continue
            writing = selectors.EVENT_WRITE if visitor.blocked else 0
            wanted = writing if visitor.ended else selectors.EVENT_READ | writing
            self._watch(visitor, wanted)

    def next_wake_s(self) -> float:
        """Return when a turn is needed though nothing arrives."""
        return min((visitor.next_wake_s() for visitor in self._visitors), default=FOREVER)

    def close(self) -> None:
        """Close every socket."""
        for visitor in list(self._visitors):
            self._leave(visitor)
            visitor.transport.close()

    def _on_event(self, visitor: Visitor, events: int, now_s: float) -> None:
        if events & selectors.EVENT_WRITE:
            visitor.blocked = False
        if events & selectors.EVENT_READ:
            visitor.read()
        if visitor.is_rest:
            visitor.ask(self._desk, now_s)
        elif visitor.is_rest is False and not visitor.gone:
            self._leave(visitor)
            arrived = [visitor.received] if visitor.received else []
            self._hand(visitor.transport, arrived + [b""] * visitor.ended, now_s)

    def _watch(self, visitor: Visitor, events: int) -> None:
        """Watch for these events; 0 for none, as a socket at its end is always readable."""
        known = self._selector.get_map().get(visitor.transport)
        if known is not None and known.events == events:
            return
        if known is not None:
            self._selector.unregister(visitor.transport)
        if events:
            self._selector.register(
                visitor.transport, events, lambda e, now: self._on_event(visitor, e, now)
            )

    def _leave(self, visitor: Visitor) -> None:
        self._visitors.remove(visitor)
        self._watch(visitor, 0)
