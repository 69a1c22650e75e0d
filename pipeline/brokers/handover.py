"""Which packets of an instrument on several connections are news: the twin of `ext/handover.h`.

Floor 2. To be read, and to be compared with; the decoder runs the compiled one. The rule stands at
the head of that header. Ticks are records of `tick_dtype` whose flags are those of their packet
alone. No clock, no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Mode, TickFlag

#: Contents of one order that are remembered; a full packet takes two.
RECENT: Final = 64
#: How much later than another connection has let go of an instrument packets may repeat its own.
LINGER_NS: Final = 5 * NS_PER_S
_QUOTE_CONTENT: Final = (
    "instrument_token", "last_price", "average_traded_price", "open", "high", "low", "close",
    "volume_traded", "total_buy_quantity", "total_sell_quantity", "last_traded_quantity",
)  # fmt: skip
_FULL_CONTENT: Final = (
    *_QUOTE_CONTENT, "exchange_ts_ns", "last_trade_ts_ns", "oi", "oi_day_high", "oi_day_low",
    "bid_price", "ask_price", "bid_quantity", "ask_quantity", "bid_orders", "ask_orders",
)  # fmt: skip

Tick = Mapping[str, Any] | np.void


class Novelty(Enum):
    """What a packet is, of an instrument that another connection delivers, too."""

    NEWS = "news"
    BEHIND = "behind"  # delivered, but older than the newest tick: the other one never had it
    REPEATED = "repeated"  # dropped


class Order(NamedTuple):
    """What tells which of two ticks is later; None: not carried, or none."""

    exchange_ts_ns: int | None = None
    volume_traded: int | None = None
    last_trade_ts_ns: int | None = None


def order_of(tick: Tick) -> Order:
    """Return what there is to order a tick by; nothing of ltp and of index packets without time."""
    mode, is_index = int(tick["mode"]), bool(int(tick["flags"]) & TickFlag.INDEX_LAYOUT)
    full = mode == Mode.FULL
    return Order(
        exchange_ts_ns=(int(tick["exchange_ts_ns"]) or None) if full else None,
        volume_traded=int(tick["volume_traded"]) if mode >= Mode.QUOTE and not is_index else None,
        last_trade_ts_ns=(int(tick["last_trade_ts_ns"]) or None) if full and not is_index else None,
    )


def is_before(first: Order, second: Order) -> bool:
    """Say whether the first is certainly earlier, by what both carry."""
    for one, other in zip(first, second, strict=True):
        if one is not None and other is not None and one != other:
            return one < other
    return False


def content_of(tick: Tick, mode: int | None = None) -> Hashable:
    """Return all that came off the wire, or of it what a packet of `mode` carries."""
    mode = int(tick["mode"]) if mode is None else mode
    names = _FULL_CONTENT if mode == Mode.FULL else _QUOTE_CONTENT
    return (mode, *(np.asarray(tick[name]).tobytes() for name in names))


class Overlap:
    """What is remembered of an instrument while more than one connection delivers it."""

    def __init__(self) -> None:
        #: {connection: (its epoch, where its ticks begin)}
        self.since: dict[int, tuple[int, Order]] = {}
        self._recent: deque[tuple[Hashable, int]] = deque(maxlen=RECENT)

    def begin(self, tick: Tick, order: Order) -> None:
        """Note that everything before `order` never came on this tick's connection."""
        self.since[int(tick["connection"])] = (int(tick["connection_epoch"]), order)

    def remember(self, tick: Tick) -> None:
        """Note the content of a delivered tick that has an order."""
        for mode in (Mode.FULL, Mode.QUOTE)[int(tick["mode"]) != Mode.FULL :]:
            entry = (content_of(tick, mode), int(tick["connection"]))
            if entry not in self._recent:
                self._recent.append(entry)

    def take(self, tick: Tick, newest: Tick | None) -> tuple[Novelty, TickFlag]:
        """Judge a tick and take it up; return its novelty, and HANDOVER if it is to be flagged.

        newest: the instrument's newest tick if another connection delivered it, else None.
        """
        connection, epoch = int(tick["connection"]), int(tick["connection_epoch"])
        begins = self.since.get(connection, (None, Order()))[0] != epoch
        order = order_of(tick)
        novelty = self._judge(tick, order, newest, begins)
        if novelty is Novelty.REPEATED:
            return novelty, TickFlag(0)
        if novelty is Novelty.BEHIND:
            return novelty, TickFlag.HANDOVER
        maybe_repeated = order == Order() and any(other != connection for other in self.since)
        if begins:
            self.begin(tick, order)
        if order != Order():
            self.remember(tick)
        handed_over = (begins and newest is not None) or maybe_repeated
        return novelty, TickFlag.HANDOVER if handed_over else TickFlag(0)

    def _judge(self, tick: Tick, order: Order, newest: Tick | None, begins: bool) -> Novelty:
        if order == Order():
            repeated = newest is not None and not begins and _agree(tick, newest)
            return Novelty.REPEATED if repeated else Novelty.NEWS
        content, connection = content_of(tick), int(tick["connection"])
        if any(known == content and other != connection for known, other in self._recent):
            return Novelty.REPEATED
        if newest is None or not is_before(order, order_of(newest)):
            return Novelty.NEWS
        _, since = self.since.get(int(newest["connection"]), (None, Order()))
        comparable = any(a is not None and b is not None for a, b in zip(since, order, strict=True))
        gone_past = not comparable or is_before(since, order)
        return Novelty.REPEATED if gone_past else Novelty.BEHIND


def _agree(tick: Tick, other: Tick) -> bool:
    if Mode.LTP in (int(tick["mode"]), int(other["mode"])):
        return bool(tick["last_price"] == other["last_price"])
    return content_of(tick, Mode.QUOTE) == content_of(other, Mode.QUOTE)
