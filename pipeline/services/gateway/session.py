"""One client's side of the protocol: what it asked for, what it is told. Floor 4; does no I/O.

Payloads and times come in, payloads and decisions go out by two callbacks; a socket, a loop and a
clock are somebody else's. Messages are handled strictly in order: one that must wait, because a
key is being looked at or because too many came, makes all behind it wait. Whose data a client
gets follows from its key, never from anything that it says.

Times are monotonic nanoseconds. Whoever does the I/O calls `receive` for each message, `tick` at
`next_ns` (or every 50 ms, which is simpler), stops reading until `pause_until_ns` while that is not
0, calls `key_revoked` when `KeyStore.valid` no longer has the client's key, and `ended` when the
connection is gone. What is long is done in parts: while it `has_more`, also when it has ended, it
wants `proceed` to be called, after others have had their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Final

from pipeline.core.clock import NS_PER_S, real_ns
from pipeline.services.gateway import messages
from pipeline.services.gateway.actions import ACTIONS, Actions
from pipeline.services.gateway.guard import Visit
from pipeline.services.gateway.holdings import Holdings
from pipeline.services.gateway.inbox import Inbox
from pipeline.services.gateway.limits import Limits, TokenBucket
from pipeline.services.gateway.messages import Request
from pipeline.services.gateway.needs import Desk, Listed
from pipeline.services.gateway.steps import Steps
from pipeline.services.gateway.tally import Cutting
from pipeline.services.keys import Principal

__all__ = [
    "CLOSE_POLICY",
    "CLOSE_TOO_BIG",
    "CLOSE_UNAUTHENTICATED",
    "Desk",
    "Listed",
    "Session",
]

CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_UNAUTHENTICATED: Final = 4401

_MINUTE_NS: Final = 60 * NS_PER_S
_AUTHENTICATE: Final = ("authenticate", "auth")
_BAD_KEY: Final = "Invalid API key"
_OVER: Final = object()


class Session:
    """A client, from its handshake to its end. `principal` is None until its key was good."""

    def __init__(
        self,
        desk: Desk,
        visit: Visit,
        *,
        say: Callable[[bytes], None],
        close: Callable[[int, str], None],
        limits: Limits,
        now_ns: int,
        wall_ns: Callable[[], int] = real_ns,
    ) -> None:
        self.principal: Principal | None = None
        self.closed = False
        self.cut_as: Cutting | None = None  # why it put the client out
        #: Not 0: no further message is to be read before then. `tick` alone makes it 0 again, so
        #: that whoever stopped reading learns of it in one place.
        self.pause_until_ns = 0
        self.requests = 0
        self.errors = 0
        self._desk = desk
        self._visit = visit
        self._say = say
        self._close = close
        self._limits = limits
        self._now_ns = now_ns
        self._authenticate_by_ns = now_ns + int(limits.authenticate_within_s * NS_PER_S)
        self._checking = False  # a key is being looked at, or its refusal is held back
        self._refuse_at_ns = 0
        self._shown: Request = {}  # the message that showed the key, without it
        self._going_on = False
        self._rest: Steps[None] | None = None  # of a message, or of giving up what was had
        self._inbox = Inbox(limits.control_messages())
        self._mistakes = TokenBucket(
            rate=limits.errors_per_minute, burst=limits.errors_per_minute, per_ns=_MINUTE_NS
        )
        self._holdings = Holdings(desk, self, instruments_max=limits.instruments)
        self._actions = Actions(
            self, desk, self._holdings, say=say, mistake=self._mistake, charge=self._charge,
            instruments_max=limits.instruments, wall_ns=wall_ns,
        )  # fmt: skip

    def __repr__(self) -> str:
        who = "nobody" if self.principal is None else self.principal.name
        return f"<Session of {who}, {self.instruments} instruments>"

    @property
    def payload_bytes_max(self) -> int:
        """How long the next message may be; a longer one closes with 1009."""
        if self.principal is not None:
            return self._limits.payload_bytes
        return self._limits.early_bytes if self._checking else self._limits.early_payload_bytes

    @property
    def instruments(self) -> int:
        """How many instruments the client is subscribed to, in whatever modes."""
        return len(self._holdings)

    @property
    def wants_orders(self) -> bool:
        """Whether the client is subscribed to order updates."""
        return self._holdings.wants_orders

    @property
    def wants_status(self) -> bool:
        """Whether the client is to be told what the pool has no place for."""
        return self._holdings.wants_status

    @property
    def has_more(self) -> bool:
        """Whether `proceed` has something to do."""
        return self._rest is not None

    @property
    def next_ns(self) -> int:
        """When `tick` has something to do, if nothing else happens; 0 = never."""
        due = [self._refuse_at_ns, self.pause_until_ns]
        if self.principal is None:
            due.append(self._authenticate_by_ns)
        return 0 if self.closed else min((at_ns for at_ns in due if at_ns), default=0)

    def receive(self, payload: bytes, now_ns: int) -> None:
        """Take a client's message: a text or binary frame's payload."""
        if self.closed:
            return
        if len(payload) > self.payload_bytes_max:
            self._end_with(CLOSE_TOO_BIG, "message too big", "excess")
            return
        self._inbox.put(payload)
        self._go_on(now_ns)
        self._refuse_to_hold_more()

    def bothered(self, now_ns: int) -> None:
        """Count a frame that is no message, so that a flood of these is read more slowly, too."""
        if not self.closed:
            self._inbox.charge(1, now_ns)
            self.pause_until_ns = self._inbox.pause_until_ns(now_ns) or self.pause_until_ns

    def tick(self, now_ns: int) -> None:
        """Do what time asks for: the deadline of the key, late answers, messages that waited."""
        if self.closed:
            return
        if self._refuse_at_ns and now_ns >= self._refuse_at_ns:
            self._refuse_key()
        self._go_on(now_ns)
        if self.pause_until_ns <= now_ns:
            self.pause_until_ns = 0

    def key_checked(self, principal: Principal | None, now_ns: int) -> None:
        """Learn whom the client's key lets in; None: nobody."""
        if self.closed or not self._checking or self._refuse_at_ns:
            return
        if principal is not None:
            self._checking = False
            self._begin(self._admit(principal))
        else:
            self._punish(now_ns)
        self._go_on(now_ns)

    def key_unchecked(self, now_ns: int) -> None:
        """Learn that the key could not be looked at; that is no fault of the client's."""
        if self.closed or not self._checking or self._refuse_at_ns:
            return
        self._checking = False
        self._error("SERVER_ERROR", "API keys cannot be checked now, try again", self._shown)
        self._go_on(now_ns)

    def key_revoked(self) -> None:
        """End the client: its key is good no longer."""
        if not self.closed:
            self._error("AUTHENTICATION_ERROR", "API key was revoked or has expired")
            self._end_with(CLOSE_UNAUTHENTICATED, "key revoked", "revoked")

    def places_changed(self, keys: Set[int]) -> None:
        """Learn which instruments have lost their place in the pool, or have one again."""
        if not self.closed and self.principal is not None:
            self._actions.tell_status(keys)

    def proceed(self, now_ns: int) -> None:
        """Do the next part of what is under way, and go on behind it when that was the last."""
        self._now_ns = now_ns
        self._advance()
        if not self.has_more and not self.closed:
            self._go_on(now_ns)

    def ended(self) -> None:
        """Give up what the client had, in parts; again is nothing."""
        self.closed = True
        self._forget_waiting()
        self._visit.end()
        self._begin(self._holdings.clear())

    def _go_on(self, now_ns: int) -> None:
        """Handle what waits, in order, as far as it may be."""
        self._now_ns = now_ns
        if self._going_on:
            return  # called by a desk that answered at once: the loop below goes on
        self._going_on = True
        try:
            while not (self._is_late() or self._checking or self.closed or self.has_more):
                payload = self._inbox.take(now_ns)
                if payload is None:
                    break
                self._handle(payload)
        finally:
            self._going_on = False
        if not self.closed:
            self.pause_until_ns = self._inbox.pause_until_ns(now_ns) or self.pause_until_ns

    def _is_late(self) -> bool:
        """Return whether there was time enough to authenticate; end the client then."""
        if self.principal is not None or self._now_ns < self._authenticate_by_ns:
            return False
        if not self.closed:
            self._end_with(CLOSE_UNAUTHENTICATED, "auth timeout", "unauthenticated")
        return True

    def _refuse_to_hold_more(self) -> None:
        if self.principal is not None:
            if self._inbox.is_overfull:
                self._end_with(CLOSE_POLICY, "too many messages", "excess")
            return
        too_many = len(self._inbox) > self._limits.early_messages
        if too_many or self._inbox.payload_bytes > self._limits.early_bytes:
            self._end_with(CLOSE_POLICY, "too much before authentication", "excess")

    def _end_with(self, code: int, reason: str, counted_as: Cutting) -> None:
        self.closed = True
        self._rest = None
        self.cut_as = counted_as
        self._forget_waiting()
        self._close(code, reason)

    def _forget_waiting(self) -> None:
        self._inbox.clear()
        self.pause_until_ns = 0

    def _begin(self, steps: Steps[None]) -> None:
        """Do the first part of some work, which may be all of it."""
        self._rest = steps
        self._advance()

    def _advance(self) -> None:
        rest = self._rest
        if rest is not None and next(rest, _OVER) is _OVER and self._rest is rest:
            self._rest = None

    def _handle(self, payload: bytes) -> None:
        self.requests += 1
        try:
            request = messages.read(payload)
        except ValueError:
            self._mistake("INVALID_JSON", "Invalid JSON message")
            return
        if not isinstance(request, Mapping):
            self._mistake("INVALID_JSON", "A message must be a JSON object")
            return
        action = request.get("action") or request.get("type")
        found = ACTIONS.get(action) if isinstance(action, str) else None
        if action in _AUTHENTICATE:
            self._authenticate(request)
        elif found is None:
            self._mistake("INVALID_ACTION", f"Invalid action: {messages.shown(action)}", request)
        elif found.needs_key and self.principal is None:
            self._error("NOT_AUTHENTICATED", "You must authenticate first", request)
        elif found.needs_owner and (self.principal is None or self.principal.owner is None):
            self._error("BROKER_ERROR", "Broker adapter not found", request)
        else:
            steps = found.handle(self._actions, request)
            if steps is not None:
                self._begin(steps)

    def _charge(self, items: int) -> None:
        self._inbox.charge_items(items, self._now_ns)

    def _error(self, code: str, text: str, request: Request | None = None) -> None:
        self.errors += 1
        self._say(messages.error(code, text, request))

    def _mistake(self, code: str, text: str, request: Request | None = None) -> None:
        """Say an error that is the client's own; too many in a minute end it."""
        self._error(code, text, request)
        if self._mistakes.ready_ns() > self._now_ns:
            self._end_with(CLOSE_POLICY, "too many errors", "excess")
        self._mistakes.take(self._now_ns)

    def _authenticate(self, request: Request) -> None:
        key = request.get("api_key") or request.get("apikey")
        if not isinstance(key, str) or not key:
            self._error("AUTHENTICATION_ERROR", "API key is required", request)
        elif not self._visit.may_try(self._now_ns):
            self._error("AUTHENTICATION_ERROR", _BAD_KEY, request)
            self._end_with(CLOSE_POLICY, "too many wrong keys", "wrong_keys")
        else:
            self._checking = True
            self._shown = {"request_id": request.get("request_id")}
            self._desk.check_key(self, key)

    def _admit(self, principal: Principal) -> Steps[None]:
        if self.principal is not None and self.principal.owner != principal.owner:
            yield from self._holdings.clear()
        self.principal = principal
        self._visit.authenticated()
        if principal.owner is None:
            self._error("BROKER_ERROR", "No broker configuration found for user", self._shown)
        else:
            self._say(messages.authenticated(self._desk.broker, principal.name, self._shown))

    def _punish(self, now_ns: int) -> None:
        penalty = self._visit.wrong_key(now_ns)
        if penalty.delay_ns:
            self._refuse_at_ns = now_ns + penalty.delay_ns
            return
        self._refuse_key()
        if penalty.banned:
            self._end_with(CLOSE_POLICY, "too many wrong keys", "wrong_keys")

    def _refuse_key(self) -> None:
        self._checking = False
        self._refuse_at_ns = 0
        self._error("AUTHENTICATION_ERROR", _BAD_KEY, self._shown)
