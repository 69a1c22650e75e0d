"""What each action of a client does, once it may. Floor 4; does no I/O.

A session decides whether and when a message is handled, and handles keys itself; here is the rest
of the protocol's table. An action says its own answer or its own error, exactly one. One that may
be about many instruments is done in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.core.clock import NS_PER_MS
from pipeline.services.gateway import messages
from pipeline.services.gateway.holdings import Holdings
from pipeline.services.gateway.messages import Request
from pipeline.services.gateway.needs import Desk
from pipeline.services.gateway.steps import PART, Steps
from pipeline.services.keys import Principal

if TYPE_CHECKING:
    from pipeline.services.gateway.session import Session


class Actions:
    """The actions of one client.

    say: sends an answer. mistake: says an error that is the client's own, and counts it. charge:
    counts a message that names so many instruments as more than one.
    """

    def __init__(
        self,
        client: Session,
        desk: Desk,
        holdings: Holdings,
        *,
        say: Callable[[bytes], None],
        mistake: Callable[[str, str, Request], None],
        charge: Callable[[int], None],
        instruments_max: int,
        wall_ns: Callable[[], int],
    ) -> None:
        self._client = client
        self._desk = desk
        self._holdings = holdings
        self._say = say
        self._mistake = mistake
        self._charge = charge
        self._instruments_max = instruments_max
        self._wall_ns = wall_ns

    def subscribe(self, request: Request) -> Steps[None]:
        """Subscribe to instruments; each item has its own answer."""
        written = self._written(request, "At least one symbol must be specified")
        mode = None if written is None else self._mode(request, default=messages.QUOTE)
        if written is None or mode is None:
            return
        owner = self._principal.owner
        assert owner is not None, "the session asks for one first"
        done = yield from self._holdings.subscribe(owner, written, mode)
        self._say(messages.subscribed(done.results, self._desk.broker, request))
        for start in range(0, len(done.accepted), PART):
            if start:
                yield
            self._desk.acknowledged(self._client, done.accepted[start : start + PART])
        if done.accepted:
            self.tell_status({listed.key for listed, _ in done.accepted}, refused_only=True)

    def unsubscribe(self, request: Request) -> Steps[None]:
        """Give up instruments in a mode, or in all that they have."""
        if request.get("unsubscribe_all") is True:
            yield from self.unsubscribe_all(request)
            return
        written = self._written(request, "Either symbols or unsubscribe_all is required")
        mode = None if written is None else self._mode(request, default=0)
        if written is None or mode is None:
            return
        done = yield from self._holdings.unsubscribe(written, mode or None)
        self._say(messages.unsubscribed(*done, broker=self._desk.broker, request=request))

    def unsubscribe_all(self, request: Request) -> Steps[None]:
        """Give up every instrument."""
        gone = yield from self._holdings.unsubscribe_all()
        self._charge(len(gone))
        self._say(messages.unsubscribed(gone, [], broker=self._desk.broker, request=request))

    def list_all(self, request: Request) -> Steps[None]:
        """Say what the client is subscribed to."""
        items = yield from self._holdings.list(self._owner)
        self._charge(len(items))
        orders, broker = self._holdings.wants_orders, self._desk.broker
        self._say(messages.subscriptions(items, with_orders=orders, broker=broker, request=request))

    def subscribe_orders(self, request: Request) -> None:
        """Have order updates sent."""
        self._holdings.set_orders(True)
        self._say(messages.agreed("subscribe_orders", "Subscribed to order updates", request))

    def unsubscribe_orders(self, request: Request) -> None:
        """Have no more order updates sent."""
        self._holdings.set_orders(False)
        self._say(messages.agreed("unsubscribe_orders", "Unsubscribed from order updates", request))

    def subscribe_status(self, request: Request) -> None:
        """Say from now on what the pool has no place for; an answer to `subscribe` cannot yet."""
        self._holdings.wants_status = True
        self._say(messages.agreed("subscribe_status", "Subscribed to status", request))
        self._charge(len(self._holdings))
        self.tell_status(self._holdings.keys(), refused_only=True)

    def unsubscribe_status(self, request: Request) -> None:
        """Say no more of it."""
        self._holdings.wants_status = False
        self._say(messages.agreed("unsubscribe_status", "Unsubscribed from status", request))

    def tell_status(self, keys: Set[int], *, refused_only: bool = False) -> None:
        """Say which of these instruments have no place, if that is wanted."""
        if not self._holdings.wants_status:
            return
        items = self._holdings.places(self._owner, keys)
        if refused_only:
            items = [item for item in items if item["status"] != "success"]
        if items:
            self._say(messages.status(items, self._desk.broker))

    def broker_info(self, request: Request) -> None:
        """Say whose ticks these are, and whether they flow."""
        status, name = self._desk.adapter_status(self._owner), self._principal.name
        self._say(messages.broker_info(self._desk.broker, status, name, request))

    def supported_brokers(self, request: Request) -> None:
        """Say which brokers there are."""
        self._say(messages.supported_brokers(self._desk.brokers, request))

    def ping(self, request: Request) -> None:
        """Answer a client that wants to know whether anybody is here."""
        self._say(messages.pong(self._wall_ns() // NS_PER_MS, request))

    def pong(self, request: Request) -> None:
        """Take a client's answer to pings that it believes to have had."""

    @property
    def _owner(self) -> str:
        return self._principal.owner or ""

    @property
    def _principal(self) -> Principal:
        principal = self._client.principal
        assert principal is not None, "the session asks for a key first"
        return principal

    def _written(self, request: Request, when_none: str) -> Sequence[object] | None:
        """Return a message's instruments as written; None when the client was told why not."""
        written = messages.written_items(request)
        # More cannot be held; twice as many may be named, so that each gets its own answer.
        count_max = 2 * self._instruments_max
        if written is None:
            self._mistake("INVALID_PARAMETERS", when_none, request)
            return None
        if len(written) > count_max:
            text = f"At most {count_max} symbols in one message, found {len(written)}"
            self._mistake("INVALID_PARAMETERS", text, request)
            return None
        self._charge(len(written))
        return written

    def _mode(self, request: Request, *, default: int) -> int | None:
        """Return the message's own mode; None when the client was told that it is none."""
        written = request.get("mode")
        if written is None:
            return default
        mode = messages.read_mode(written)
        if mode is None:
            self._mistake("INVALID_MODE", messages.bad_mode(written), request)
        return mode


class Action(NamedTuple):
    """What handles an action, and what a client must have shown before."""

    handle: Callable[[Actions, Request], Steps[None] | None]
    needs_key: bool = True
    needs_owner: bool = False


ACTIONS: Final[dict[str, Action]] = {
    "subscribe": Action(Actions.subscribe, needs_owner=True),
    "unsubscribe": Action(Actions.unsubscribe),
    "unsubscribe_all": Action(Actions.unsubscribe_all),
    "subscribe_orders": Action(Actions.subscribe_orders, needs_owner=True),
    "unsubscribe_orders": Action(Actions.unsubscribe_orders),
    "subscribe_status": Action(Actions.subscribe_status, needs_owner=True),
    "unsubscribe_status": Action(Actions.unsubscribe_status),
    "get_subscriptions": Action(Actions.list_all),
    "get_broker_info": Action(Actions.broker_info, needs_owner=True),
    "get_supported_brokers": Action(Actions.supported_brokers, needs_key=False),
    "ping": Action(Actions.ping, needs_key=False),
    "pong": Action(Actions.pong, needs_key=False),
}
