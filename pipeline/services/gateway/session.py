"""One client's side of the protocol: what it asked for, what it is told. Floor 4; does no I/O.

Payloads and times come in, payloads and decisions go out by two callbacks; a socket, a loop and a
clock are somebody else's. Messages are handled strictly in order: one that must wait, because a
key is being looked at or because too many came, makes all behind it wait. Whose data a client
gets follows from its key, never from anything that it says.

Times are monotonic nanoseconds. Whoever does the I/O calls `receive` for each message, `tick` at
`next_ns` (or every 50 ms, which is simpler), stops reading until `pause_until_ns` while that is not
0, and calls `ended` when the connection is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from pipeline.core.clock import NS_PER_MS, NS_PER_S, real_ns
from pipeline.services.gateway import messages
from pipeline.services.gateway.guard import Visit
from pipeline.services.gateway.limits import Limits, TokenBucket
from pipeline.services.gateway.messages import Item, Request
from pipeline.services.keys import Principal

CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_UNAUTHENTICATED: Final = 4401

#: A message with this many instruments counts as one more message.
_ITEMS_PER_MESSAGE: Final = 100
#: What may wait for its turn when whoever reads did not stop; it never comes to that.
_WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
_WAITING_COST_BYTES: Final = 64  # of a message, besides its bytes

_BAD_KEY: Final = "Invalid API key"


class Listed(NamedTuple):
    """An instrument that there is: `key` is its number within one owner."""

    key: int
    symbol: str
    exchange: str


class Desk(Protocol):
    """What a session needs of its gateway. Every call returns at once."""

    #: OpenAlgo's name of the broker whose ticks these are, and of all that there may be.
    broker: str
    brokers: list[str]

    def adapter_status(self) -> str:
        """Return "connected" or "disconnected"."""

    def check_key(self, client: Session, key: str) -> None:
        """Have a key verified off the loop; the answer is `client.key_checked`, on the loop."""

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        """Return the instrument of exactly that name, in exactly that case."""

    def subscribe(self, client: Session, listed: Listed, mode: int) -> str | None:
        """Begin to send; return why not, as the client may read it, or None.

        Called once for each instrument and mode that the client does not have yet.
        """

    def acknowledged(self, client: Session, accepted: Sequence[tuple[Listed, int]]) -> None:
        """Learn that the answer to a subscription was said: last known ticks may follow."""

    def unsubscribe(self, client: Session, listed: Listed, mode: int | None) -> None:
        """Send no more of one mode; None: of the instrument."""

    def subscribe_orders(self, client: Session) -> None:
        """Send order updates of the client's owner."""

    def unsubscribe_orders(self, client: Session) -> None:
        """Send no more order updates."""


class _Held(NamedTuple):
    listed: Listed
    modes: set[int]


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
        self.wants_orders = False
        #: Not 0: no further message is to be read before then.
        self.pause_until_ns = 0
        self.requests = 0
        self.errors = 0
        self._desk = desk
        self._visit = visit
        self._say = say
        self._close = close
        self._limits = limits
        self._wall_ns = wall_ns
        self._now_ns = now_ns
        self._authenticate_by_ns = now_ns + int(limits.authenticate_within_s * NS_PER_S)
        self._checking = False
        self._refuse_at_ns = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._going_on = False
        self._bucket = TokenBucket(
            rate=limits.control_messages_per_s, burst=limits.control_messages_burst
        )
        self._mistakes = TokenBucket(
            rate=limits.errors_per_minute, burst=limits.errors_per_minute, per_ns=60 * NS_PER_S
        )
        self._held: dict[tuple[str, str], _Held] = {}

    def __repr__(self) -> str:
        who = "nobody" if self.principal is None else self.principal.name
        return f"<Session of {who}, {len(self._held)} instruments>"

    @property
    def payload_bytes_max(self) -> int:
        """How long the next message may be; a longer one closes with 1009."""
        if self.principal is not None:
            return self._limits.payload_bytes
        return self._limits.early_bytes if self._checking else self._limits.early_payload_bytes

    @property
    def instruments(self) -> int:
        """How many instruments the client is subscribed to, in whatever modes."""
        return len(self._held)

    @property
    def next_ns(self) -> int:
        """When `tick` has something to do, if nothing else happens; 0 = never."""
        due = [self._refuse_at_ns, self.pause_until_ns]
        if self.principal is None and not self._checking:
            due.append(self._authenticate_by_ns)
        return 0 if self.closed else min((at_ns for at_ns in due if at_ns), default=0)

    def receive(self, payload: bytes, now_ns: int) -> None:
        """Take a client's message: a text or binary frame's payload."""
        if self.closed:
            return
        if len(payload) > self.payload_bytes_max:
            self._end_with(CLOSE_TOO_BIG, "message too big")
            return
        self._waiting.append(payload)
        self._waiting_bytes += len(payload)
        self._go_on(now_ns)
        self._look_at_what_waits()

    def tick(self, now_ns: int) -> None:
        """Do what time asks for: the deadline of the key, late answers, messages that waited."""
        if self.closed:
            return
        if self._refuse_at_ns and now_ns >= self._refuse_at_ns:
            self._refuse_key()
        expired = now_ns >= self._authenticate_by_ns and not self._checking
        if self.principal is None and expired:
            self._end_with(CLOSE_UNAUTHENTICATED, "auth timeout")
            return
        self._go_on(now_ns)

    def key_checked(self, principal: Principal | None, now_ns: int) -> None:
        """Learn whom the client's key lets in; None: nobody."""
        if self.closed or not self._checking or self._refuse_at_ns:
            return
        if principal is not None:
            self._checking = False
            self._admit(principal)
        else:
            self._punish(now_ns)
        self._go_on(now_ns)

    def key_unchecked(self, now_ns: int) -> None:
        """Learn that the key could not be looked at; that is no fault of the client's."""
        if self.closed or not self._checking:
            return
        self._checking = False
        self._say(messages.error("SERVER_ERROR", "API keys cannot be checked now, try again"))
        self._go_on(now_ns)

    def key_revoked(self) -> None:
        """End the client: its key is good no longer."""
        if not self.closed:
            self._say(messages.error("AUTHENTICATION_ERROR", "API key was revoked or has expired"))
            self._end_with(CLOSE_UNAUTHENTICATED, "key revoked")

    def ended(self) -> None:
        """Give up what the client had; again is nothing."""
        self.closed = True
        self._forget_waiting()
        self._unsubscribe_all()
        if self.wants_orders:
            self.wants_orders = False
            self._desk.unsubscribe_orders(self)
        self._visit.end()

    def _go_on(self, now_ns: int) -> None:
        """Handle what waits, in order, as far as it may be."""
        self._now_ns = now_ns
        if self._going_on:
            return  # called by a desk that answered at once: the loop below goes on
        self._going_on = True
        try:
            while self._waiting and not self._checking and self._bucket.ready_ns() <= now_ns:
                payload = self._waiting.popleft()
                self._waiting_bytes -= len(payload)
                self._bucket.take(now_ns)
                self._handle(payload)
        finally:
            self._going_on = False
        ready_ns = self._bucket.ready_ns()
        self.pause_until_ns = ready_ns if ready_ns > now_ns and not self.closed else 0

    def _look_at_what_waits(self) -> None:
        if self.principal is None:
            too_many = len(self._waiting) > self._limits.early_messages
            if too_many or self._waiting_bytes > self._limits.early_bytes:
                self._end_with(CLOSE_POLICY, "too much before authentication")
        elif self._waiting_bytes + _WAITING_COST_BYTES * len(self._waiting) > _WAITING_BYTES_MAX:
            self._end_with(CLOSE_POLICY, "too many messages")

    def _end_with(self, code: int, reason: str) -> None:
        self.closed = True
        self._forget_waiting()
        self._close(code, reason)

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self.pause_until_ns = 0

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
        action = request["action"] if "action" in request else request.get("type")
        handler = _HANDLERS.get(action) if isinstance(action, str) else None
        if handler is None:
            self._mistake("INVALID_ACTION", f"Invalid action: {messages.shown(action)}", request)
        elif handler.needs_key and self.principal is None:
            self._error("NOT_AUTHENTICATED", "You must authenticate first", request)
        elif handler.needs_owner and self._owner is None:
            self._error("BROKER_ERROR", "Broker adapter not found", request)
        else:
            handler.handle(self, request)

    @property
    def _owner(self) -> str | None:
        return None if self.principal is None else self.principal.owner

    def _error(self, code: str, text: str, request: Request | None = None) -> None:
        self.errors += 1
        self._say(messages.error(code, text, request))

    def _mistake(self, code: str, text: str, request: Request | None = None) -> None:
        """Say an error that is the client's own; too many in a minute end it."""
        self._error(code, text, request)
        if self._mistakes.ready_ns() > self._now_ns:
            self._end_with(CLOSE_POLICY, "too many errors")
        self._mistakes.take(self._now_ns)

    # The key.

    def _authenticate(self, request: Request) -> None:
        key = request.get("api_key") or request.get("apikey")
        if not isinstance(key, str) or not key:
            self._error("AUTHENTICATION_ERROR", "API key is required", request)
        elif not self._visit.may_try(self._now_ns):
            self._error("AUTHENTICATION_ERROR", _BAD_KEY, request)
            self._end_with(CLOSE_POLICY, "too many wrong keys")
        else:
            self._checking = True
            self._desk.check_key(self, key)

    def _admit(self, principal: Principal) -> None:
        if self.principal is not None and self.principal.owner != principal.owner:
            self._unsubscribe_all()
            if self.wants_orders:
                self.wants_orders = False
                self._desk.unsubscribe_orders(self)
        self.principal = principal
        self._visit.authenticated()
        if principal.owner is None:
            self._error("BROKER_ERROR", "No broker configuration found for user")
        else:
            self._say(messages.authenticated(broker=self._desk.broker, user_id=principal.name))

    def _punish(self, now_ns: int) -> None:
        penalty = self._visit.wrong_key(now_ns)
        if penalty.banned:
            self._refuse_key()
            self._end_with(CLOSE_POLICY, "too many wrong keys")
        elif penalty.delay_ns:
            self._refuse_at_ns = now_ns + penalty.delay_ns
        else:
            self._refuse_key()

    def _refuse_key(self) -> None:
        self._checking = False
        self._refuse_at_ns = 0
        self._error("AUTHENTICATION_ERROR", _BAD_KEY)

    # Instruments.

    def _subscribe(self, request: Request) -> None:
        found = self._items(request, "At least one symbol must be specified")
        if found is None:
            return
        mode = self._mode(request, default=messages.QUOTE)
        if mode is None:
            return
        accepted: list[tuple[Listed, int]] = []
        results = [self._subscribe_item(item, mode, accepted) for item in found]
        self._say(messages.subscribed(results, self._desk.broker, request))
        if accepted:
            self._desk.acknowledged(self, accepted)

    def _subscribe_item(
        self, item: Item, default: int, accepted: list[tuple[Listed, int]]
    ) -> dict[str, object]:
        mode = default if item.mode is None else messages.read_mode(item.mode)
        listed = None
        problem = item.problem
        if not problem and mode is None:
            problem = _bad_mode(item.mode)
        if not problem:
            listed = self._find(item)
            problem = messages.not_found(item) if listed is None else ""
        if listed is not None and mode is not None:
            problem = self._hold(item, listed, mode) or ""
            if not problem:
                accepted.append((listed, mode))
        if problem:
            return messages.item_failed(item, self._desk.broker, problem)
        return messages.item_done(item, self._desk.broker, mode)

    def _find(self, item: Item) -> Listed | None:
        owner = self._owner
        if owner is None or not item.can_exist:
            return None
        return self._desk.find(owner, item.exchange, item.symbol)

    def _hold(self, item: Item, listed: Listed, mode: int) -> str | None:
        """Subscribe to what the client does not have yet; return why that cannot be."""
        name = (item.exchange, item.symbol)
        held = self._held.get(name)
        if held is not None and mode in held.modes:
            return None
        if held is None and len(self._held) >= self._limits.instruments:
            return f"At most {self._limits.instruments} instruments per connection"
        problem = self._desk.subscribe(self, listed, mode)
        if problem is None:
            self._held.setdefault(name, _Held(listed, set())).modes.add(mode)
        return problem

    def _unsubscribe(self, request: Request) -> None:
        if request.get("unsubscribe_all") is True:
            self._unsubscribe_everything(request)
            return
        found = self._items(request, "Either symbols or unsubscribe_all is required")
        if found is None:
            return
        mode = self._mode(request, default=0)
        if mode is None:
            return
        successful, failed = [], []
        for item in found:
            wanted = (mode or None) if item.mode is None else messages.read_mode(item.mode)
            bad_mode = item.mode is not None and wanted is None
            problem = item.problem or (_bad_mode(item.mode) if bad_mode else "")
            if problem:
                failed.append(messages.item_failed(item, self._desk.broker, problem))
            else:
                self._let_go((item.exchange, item.symbol), wanted)
                successful.append(messages.item_done(item, self._desk.broker))
        self._say(messages.unsubscribed(successful, failed, self._desk.broker, request))

    def _let_go(self, name: tuple[str, str], mode: int | None) -> None:
        held = self._held.get(name)
        if held is None:
            return
        if mode is not None and mode in held.modes:
            held.modes.discard(mode)
            self._desk.unsubscribe(self, held.listed, mode)
        if mode is None:
            self._desk.unsubscribe(self, held.listed, None)
        if mode is None or not held.modes:
            del self._held[name]

    def _unsubscribe_everything(self, request: Request) -> None:
        gone = [messages.item_done(item, self._desk.broker) for item, _ in self._records()]
        self._bucket.take(self._now_ns, len(gone) // _ITEMS_PER_MESSAGE)
        self._unsubscribe_all()
        self._say(messages.unsubscribed(gone, [], self._desk.broker, request))

    def _unsubscribe_all(self) -> None:
        for name in list(self._held):
            self._let_go(name, None)

    def _records(self) -> list[tuple[Item, int]]:
        return [
            (Item(symbol, exchange), mode)
            for (exchange, symbol), held in self._held.items()
            for mode in sorted(held.modes)
        ]

    def _items(self, request: Request, when_none: str) -> list[Item] | None:
        """Return the instruments of a message; None when the client was told what is wrong."""
        raw = messages.raw_items(request)
        if raw is None:
            self._mistake("INVALID_PARAMETERS", when_none, request)
            return None
        # More cannot be held; twice as many may be named, so that each gets its own answer.
        count_max = 2 * self._limits.instruments
        if len(raw) > count_max:
            text = f"At most {count_max} symbols in one message, found {len(raw)}"
            self._mistake("INVALID_PARAMETERS", text, request)
            return None
        self._bucket.take(self._now_ns, len(raw) // _ITEMS_PER_MESSAGE)
        return [item for written in raw if (item := messages.read_item(written)) is not None]

    def _mode(self, request: Request, *, default: int) -> int | None:
        """Return the message's own mode; None when the client was told that it is none."""
        written = request.get("mode")
        if written is None:
            return default
        mode = messages.read_mode(written)
        if mode is None:
            self._mistake("INVALID_MODE", _bad_mode(written), request)
        return mode

    def _list(self, request: Request) -> None:
        items = [
            messages.item_done(item, self._desk.broker, mode) for item, mode in self._records()
        ]
        self._bucket.take(self._now_ns, len(items) // _ITEMS_PER_MESSAGE)
        self._say(
            messages.subscriptions(
                items, with_orders=self.wants_orders, broker=self._desk.broker, request=request
            )
        )

    # The rest.

    def _subscribe_orders(self, request: Request) -> None:
        if not self.wants_orders:
            self.wants_orders = True
            self._desk.subscribe_orders(self)
        self._say(messages.orders("subscribe_orders", "Subscribed to order updates", request))

    def _unsubscribe_orders(self, request: Request) -> None:
        if self.wants_orders:
            self.wants_orders = False
            self._desk.unsubscribe_orders(self)
        self._say(messages.orders("unsubscribe_orders", "Unsubscribed from order updates", request))

    def _broker_info(self, request: Request) -> None:
        assert self.principal is not None
        self._say(
            messages.broker_info(
                broker=self._desk.broker,
                adapter_status=self._desk.adapter_status(),
                user_id=self.principal.name,
                request=request,
            )
        )

    def _supported_brokers(self, request: Request) -> None:
        self._say(messages.supported_brokers(self._desk.brokers, request))

    def _ping(self, request: Request) -> None:
        self._say(messages.pong(self._wall_ns() // NS_PER_MS, request))

    def _pong(self, request: Request) -> None:
        """Take a client's answer to pings that it takes for ours."""


class _Handler(NamedTuple):
    handle: Callable[[Session, Mapping[str, Any]], None]
    needs_key: bool = True
    needs_owner: bool = False


_HANDLERS: Final[dict[str, _Handler]] = {
    "authenticate": _Handler(Session._authenticate, needs_key=False),
    "auth": _Handler(Session._authenticate, needs_key=False),
    "subscribe": _Handler(Session._subscribe, needs_owner=True),
    "unsubscribe": _Handler(Session._unsubscribe),
    "unsubscribe_all": _Handler(Session._unsubscribe_everything),
    "subscribe_orders": _Handler(Session._subscribe_orders, needs_owner=True),
    "unsubscribe_orders": _Handler(Session._unsubscribe_orders),
    "get_subscriptions": _Handler(Session._list),
    "get_broker_info": _Handler(Session._broker_info, needs_owner=True),
    "get_supported_brokers": _Handler(Session._supported_brokers, needs_key=False),
    "ping": _Handler(Session._ping, needs_key=False),
    "pong": _Handler(Session._pong, needs_key=False),
}


def _bad_mode(written: object) -> str:
    return f"Invalid mode: {messages.shown(written)}; expected 1, 2, 3 or LTP, Quote, Depth"
