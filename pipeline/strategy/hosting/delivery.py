"""Take one item after another, and write down how far that has come. Floor 3.

The positions lie in the strategy's own page, which outlives its process: the next one goes on
there, so that no restart loses anything silently. A position is stored *before* its item is handed
out: what a callback dies on counts as delivered.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from ext.streams import NoticeKind
from pipeline.core import layout
from pipeline.shm.pages import StatusPage
from pipeline.strategy.attachment import Position
from pipeline.strategy.items import (
    Item,
    OrderUpdate,
    Overrun,
    TickArray,
    Ticks,
    item_of_notice,
)
from pipeline.strategy.market import Market

Row = np.ndarray[Any, Any]


class _Waiting(NamedTuple):
    """An item that is still to be handed out, and the cursor that it moves."""

    item: Item
    connection: int
    cursor: str
    before: int
    after: int


class Delivery:
    """Takes from a market's reader on behalf of a hosted strategy."""

    def __init__(self, market: Market, page: StatusPage) -> None:
        self._market = market
        self._record = page.record
        self._waiting: deque[_Waiting] = deque()
        self._rows: dict[int, Row] = {}
        self._stored: dict[int, Position] = {}
        self._store()

    def take(self) -> Item | None:
        """Return the next item without waiting, None if there is none."""
        if self._waiting:
            return self._next()
        attachment = self._market.attachment
        attachment.follow_manifest()
        reader = attachment.reader
        reader.watch_orders = True
        count = reader.poll()
        if reader.notice_count:
            self._waiting.extend(map(_of_notice, reader.notices()))
        self._waiting.extend(map(_of_order, attachment.take_orders()))
        if count or self._waiting:
            self._store()
        if count:
            return self._ticks(attachment.buffer[:count])
        return self._next() if self._waiting else None

    def wait(self, timeout_ns: int) -> Ticks | None:
        """Wait for news, at most 100 ms, or until a signal; return ticks that came alone.

        To be called when `take` has found nothing.
        """
        ticks = self._market.attachment.reader.wait_batch(timeout_ns)
        if ticks is None:
            return None
        self._store()
        return self._ticks(ticks)

    def lag(self) -> int:
        """Return how many published ticks were not taken yet."""
        streams = self._market.attachment.streams
        tails = {n: int(s.ticks_control["tail"]) for n, s in streams.items()}
        rows = ((tails[n], int(row["tick_cursor"])) for n, row in self._rows.items() if n in tails)
        return sum(max(0, tail - cursor) for tail, cursor in rows)

    def _ticks(self, ticks: TickArray) -> Ticks:
        self._record["ticks"] += len(ticks)
        return Ticks(ticks)

    def _next(self) -> Item:
        item, connection, cursor, _, after = self._waiting.popleft()
        row = self._rows.get(connection)
        if row is not None:
            row[cursor] = after
            self._stored.pop(connection, None)
        if isinstance(item, Overrun) and item.stage == "reader":
            self._market.lost += item.lost
            self._record["lost"] += item.lost
        self._record["events"] += 1
        return item

    def _store(self) -> None:
        """Write the position of every connection down, without what still waits."""
        attachment = self._market.attachment
        found = {number: attachment.position(number) for number in attachment.streams}
        for waiting in reversed(self._waiting):
            if waiting.connection in found:
                before = {waiting.cursor.removesuffix("_cursor"): waiting.before}
                found[waiting.connection] = found[waiting.connection]._replace(**before)
        for number, position in found.items():
            if self._stored.get(number) == position:
                continue
            self._stored[number] = position
            row = self._rows.get(number)
            if row is None:
                row = self._rows[number] = self._row(number)
            row["tick_cursor"], row["event_cursor"], row["order_cursor"] = position

    def _row(self, number: int) -> Row:
        """Return the connection's row: the one that it had, a new one, or one of a former one."""
        rows = self._record["positions"]
        count = int(self._record["position_count"])
        held = [int(row["connection"]) for row in rows[:count]]
        if number in held:
            index = held.index(number)
        elif count < layout.reader_cursors:
            index = count
        else:
            streams = self._market.attachment.streams
            index = next(i for i, connection in enumerate(held) if connection not in streams)
        row: Row = rows[index : index + 1].reshape(())
        row["connection"] = number
        if index == count:
            self._record["position_count"] = count + 1
        return row


def read_positions(page: StatusPage) -> dict[int, Position]:
    """Return how far the processes before this one were handed each connection."""
    rows = page.record["positions"][: int(page.record["position_count"])]
    return {
        int(row["connection"]): Position(
            int(row["tick_cursor"]), int(row["event_cursor"]), int(row["order_cursor"])
        )
        for row in rows
    }


def _of_notice(notice: tuple[int, int, int, int, dict[str, int] | None]) -> _Waiting:
    kind, connection, sequence, lost, _ = notice
    item = item_of_notice(notice)
    if kind == NoticeKind.NOTICE_TICKS_LOST:
        return _Waiting(item, connection, "tick_cursor", sequence, sequence + lost)
    if kind == NoticeKind.NOTICE_EVENTS_LOST:
        return _Waiting(item, connection, "event_cursor", sequence, sequence + lost)
    return _Waiting(item, connection, "event_cursor", sequence, sequence + 1)


def _of_order(item: Item) -> _Waiting:
    if isinstance(item, Overrun):
        after = item.first_sequence + item.lost
        return _Waiting(item, item.connection, "order_cursor", item.first_sequence, after)
    assert isinstance(item, OrderUpdate), "an order ring gives nothing else"
    return _Waiting(item, item.connection, "order_cursor", item.sequence, item.sequence + 1)
