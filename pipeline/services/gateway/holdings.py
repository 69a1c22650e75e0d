"""What one client is subscribed to, and how that changes item by item. Floor 4; does no I/O.

An item that fails says so in its own place and harms none of its neighbours. What the client has
already is not asked of the desk again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

from pipeline.services.gateway import messages
from pipeline.services.gateway.messages import Item
from pipeline.services.gateway.needs import Desk, Listed
from pipeline.services.gateway.steps import Steps, is_pause

if TYPE_CHECKING:
    from pipeline.services.gateway.session import Session

Result = dict[str, object]


class Subscribed(NamedTuple):
    """How a subscription went: an answer for each item, and what is sent from now on."""

    results: list[Result]
    accepted: list[tuple[Listed, int]]


class Unsubscribed(NamedTuple):
    """How an unsubscription went."""

    successful: list[Result]
    failed: list[Result]


class _Held(NamedTuple):
    listed: Listed
    modes: set[int]


class _Asked(NamedTuple):
    """An item as it was read: its mode, its own or the message's, and what is wrong with it."""

    item: Item
    mode: int | None
    problem: str


class Holdings:
    """The instruments of one client, each with its modes, under the names that it used.

    What may be about many instruments is done in parts; nothing else may be begun meanwhile.
    """

    def __init__(self, desk: Desk, client: Session, *, instruments_max: int) -> None:
        self._desk = desk
        self._client = client
        self._instruments_max = instruments_max
        self._held: dict[tuple[str, str], _Held] = {}
        self.wants_orders = False
        self.wants_status = False

    def __len__(self) -> int:
        return len(self._held)

    def subscribe(self, owner: str, written: Sequence[object], mode: int) -> Steps[Subscribed]:
        """Subscribe to instruments, as they are written in a message.

        mode: for those that name none of their own.
        """
        done = Subscribed([], [])
        for asked in _read(written, mode):
            if asked is None:
                yield
                continue
            item, wanted, problem = asked
            found = problem if problem or wanted is None else self._take(owner, item, wanted)
            if isinstance(found, str) or wanted is None:
                done.results.append(messages.item_failed(item, self._desk.broker, str(found)))
            else:
                done.accepted.append((found, wanted))
                done.results.append(messages.item_done(item, self._desk.broker, wanted))
        return done

    def unsubscribe(self, written: Sequence[object], mode: int | None) -> Steps[Unsubscribed]:
        """Give up instruments in a mode, their own or `mode`; in all that they have if None."""
        done = Unsubscribed([], [])
        for asked in _read(written, mode):
            if asked is None:
                yield
                continue
            item, wanted, problem = asked
            if problem:
                done.failed.append(messages.item_failed(item, self._desk.broker, problem))
            else:
                self._give_up((item.exchange, item.symbol), wanted)
                done.successful.append(messages.item_done(item, self._desk.broker))
        return done

    def unsubscribe_all(self) -> Steps[list[Result]]:
        """Give up every instrument; return a success for each of its modes."""
        gone: list[Result] = []
        for number, (name, held) in enumerate(before := list(self._held.items())):
            if is_pause(number, len(before)):
                yield
            exchange, symbol = name
            done = messages.item_done(Item(symbol, exchange), self._desk.broker)
            gone += [done] * len(held.modes)
            self._give_up(name, None)
        return gone

    def places(self, owner: str, keys: Set[int]) -> list[Result]:
        """Return an entry for each instrument of these keys: an error for what has no place."""
        return [
            self._result(owner, Item(symbol, exchange), held.listed, None)
            for (exchange, symbol), held in self._held.items()
            if held.listed.key in keys
        ]

    def keys(self) -> set[int]:
        """Return the keys of all instruments."""
        return {held.listed.key for held in self._held.values()}

    def list(self, owner: str) -> Steps[Sequence[Result]]:
        """Return an entry for each instrument and mode; an error for what has no place."""
        found = []
        for number, ((exchange, symbol), held) in enumerate(self._held.items()):
            if is_pause(number, len(self._held)):
                yield
            item = Item(symbol, exchange)
            found += [self._result(owner, item, held.listed, mode) for mode in sorted(held.modes)]
        return found

    def set_orders(self, wanted: bool) -> None:
        """Have order updates sent, or not any more."""
        if wanted != self.wants_orders:
            self.wants_orders = wanted
            change = self._desk.subscribe_orders if wanted else self._desk.unsubscribe_orders
            change(self._client)

    def clear(self) -> Steps[None]:
        """Give up everything."""
        self.set_orders(False)
        self.wants_status = False
        yield from self.unsubscribe_all()

    def _take(self, owner: str, item: Item, mode: int) -> Listed | str:
        """Return the instrument that is now sent; else why it is not."""
        name = (item.exchange, item.symbol)
        held = self._held.get(name)
        if held is not None and mode in held.modes:
            return held.listed
        listed = held.listed if held else self._find(owner, item)
        if listed is None:
            return messages.not_found(item)
        if held is None and len(self._held) >= self._instruments_max:
            return f"At most {self._instruments_max} instruments per connection"
        problem = self._desk.subscribe(self._client, listed, mode)
        if problem is not None:
            return problem
        self._held.setdefault(name, _Held(listed, set())).modes.add(mode)
        return listed

    def _result(self, owner: str, item: Item, listed: Listed, mode: int | None) -> Result:
        refusal = self._desk.refusal(owner, listed)
        if refusal is not None:
            return messages.item_failed(item, self._desk.broker, refusal)
        return messages.item_done(item, self._desk.broker, mode)

    def _find(self, owner: str, item: Item) -> Listed | None:
        if not item.can_exist:
            return None
        return self._desk.find(owner, item.exchange, item.symbol)

    def _give_up(self, name: tuple[str, str], mode: int | None) -> None:
        held = self._held.get(name)
        if held is None or (mode is not None and mode not in held.modes):
            return
        self._desk.unsubscribe(self._client, held.listed, mode)
        held.modes.discard(0 if mode is None else mode)
        if mode is None or not held.modes:
            del self._held[name]


def _read(written: Sequence[object], mode: int | None) -> Iterator[_Asked | None]:
    """Yield the items of a message, and None where others should have a turn.

    mode: of those that name none of their own. What is no item at all is passed over.
    """
    for number, each in enumerate(written):
        if is_pause(number, len(written)):
            yield None
        item = messages.read_item(each)
        if item is None:
            continue
        own = mode if item.mode is None else messages.read_mode(item.mode)
        problem = item.problem
        if own is None and item.mode is not None:
            problem = problem or messages.bad_mode(item.mode)
        yield _Asked(item, own, problem)
