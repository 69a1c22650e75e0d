"""The bridge as the supervisor hosts it: ticks in, two frames out. Floor 4.

Of each tick one message, in the mode that the tick came in: that is what OpenAlgo's adapters
send, and its proxy hands it on to subscribers of lower modes. It subscribes to nothing by itself:
what the instance streams is published. A topic names no user, so ticks of one owner alone go out.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from ext.encode import MarketEncoder
from pipeline.brokers.kite.order_update import BROKER_NAME, order_update
from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.errors import BadInstruments, NoInstruments, UnknownInstruments
from pipeline.instruments.lookup import Lookup, shared
from pipeline.instruments.openalgo import openalgo_key
from pipeline.services.bridge.publisher import Publisher
from pipeline.services.bridge.topics import market_topics, orders_topic
from pipeline.strategy.items import Item, OrderUpdate, TickArray
from pipeline.strategy.market import Market

_REPORT_NS: Final = 10 * NS_PER_S
#: A successor goes on where its predecessor was, and would throw away what it has to catch up with.
_WAIT_FOR_PROXY_S: Final = 1.0

_log = logging.getLogger(__name__)


class Bridge:
    """Publishes what an instance streams to the proxy of an OpenAlgo.

    owner: whose ticks and orders. user: OpenAlgo's name of that owner; without it no order updates
    are published.
    """

    def __init__(self, *, endpoint: str, owner: str, user: str, high_water_mark: int) -> None:
        self._owner = owner
        self._user = user
        self._publisher = Publisher(endpoint, high_water_mark=high_water_mark)
        self._encoder = MarketEncoder()
        self._topics: dict[int, tuple[bytes, ...] | None] = {}
        self._told = False
        self._reported = 0
        self._next_look_ns = 0
        self.unnamed = 0
        self.foreign = 0

    # ---- called by the host -----------------------------------------------------------------

    def on_start(self, market: Market) -> None:
        """Look up the names of all that is streamed, so that no tick waits for one."""
        self._market = market
        self._lookup: Lookup = shared(market.options.instruments_file)
        for token in market.tokens:
            self._name(int(token))
        self._publisher.wait(_WAIT_FOR_PROXY_S)

    def on_ticks(self, ticks: TickArray) -> None:
        """Publish each tick."""
        self._look_after()
        send, data = self._publisher.send, self._encoder.data
        rows = zip(
            ticks["instrument_token"].tolist(), ticks["mode"].tolist(),
            ticks["connection"].tolist(), strict=True,
        )  # fmt: skip
        for i, (token, mode, connection) in enumerate(rows):
            if not self._is_ours(connection):
                self.foreign += 1
                continue
            topics = self._topics[token] if token in self._topics else self._name(token)
            if topics is None:
                self.unnamed += 1
                continue
            send(topics[mode], data(ticks, i, mode, token))

    def on_event(self, event: Item) -> None:
        """Publish an order update; anything else says nothing to OpenAlgo."""
        if not isinstance(event, OrderUpdate) or event.order is None or not self._user:
            return
        if not self._is_ours(event.connection):
            self.foreign += 1
            return
        self._look_after()
        message = order_update(event.order, user=self._user, find=self._find)
        self._publisher.send(orders_topic(BROKER_NAME, self._user), msgspec.json.encode(message))

    def on_stop(self) -> None:
        """Say what became of everything, and let go of the socket."""
        self._report()
        publisher = self._publisher
        publisher.close()
        _log.info(
            f"{publisher.published} published, {publisher.dropped_full} dropped at the high-water "
            f"mark, {publisher.dropped_unheard} while no proxy was connected, {self.unnamed} of "
            f"instruments without a name, {self.foreign} of other owners"
        )

    @property
    def dropped(self) -> int:
        """What should have been published and was not: `stat` shows it."""
        return self._publisher.dropped + self.unnamed

    # ---- within ------------------------------------------------------------------------------

    def _is_ours(self, connection: int) -> bool:
        return self._market.owner_of(connection) == self._owner

    def _name(self, token: int) -> tuple[bytes, ...] | None:
        key = self._find(token)
        if key is None:
            self._topics[token] = None
            return None
        exchange, _, symbol = key.partition(":")
        self._encoder.name(token, symbol, exchange, BROKER_NAME)
        self._topics[token] = found = market_topics(exchange, symbol)
        return found

    def _look_after(self) -> None:
        """Look at the connection and, each ten seconds, at the list and at what was dropped."""
        self._publisher.look()
        now_ns = monotonic_ns()
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + _REPORT_NS
            self._follow_list()
            self._report()

    def _follow_list(self) -> None:
        """Name everything anew once there is another list: tokens and names change by the day."""
        found = shared(self._lookup.file)
        if found is not self._lookup and found.file.is_file():
            self._lookup = found
            self._topics.clear()
            self._told = False

    def _find(self, token: int) -> str | None:
        """Return OpenAlgo's `EXCHANGE:SYMBOL` of an instrument; None, told, when it has none."""
        try:
            return openalgo_key(self._lookup.find(token))
        except (BadInstruments, NoInstruments, UnknownInstruments) as error:
            if not self._told:
                self._told = True
                _log.warning(f"not published, and others like it: {error}")
            return None

    def _report(self) -> None:
        """Tell of drops while there are any."""
        dropped = self._publisher.dropped
        if dropped > self._reported:
            why = (
                "it reads too slowly" if self._publisher.connected else "nobody is connected there"
            )
            _log.warning(
                f"{dropped - self._reported} not taken by {self._publisher.endpoint}: {why}"
            )
            self._reported = dropped
