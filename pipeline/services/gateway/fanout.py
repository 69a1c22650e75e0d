"""From a batch of ticks to the outboxes: each tick encoded once for each mode that is had. Floor 4.

The same bytes go to every client. A tick goes only where the owner of its connection leads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ext.encode import MarketEncoder
from pipeline.core.clock import monotonic_ns
from pipeline.services.gateway.index import Index
from pipeline.services.gateway.outbox import Outbox, Sums
from pipeline.strategy.items import TickArray


@dataclass(slots=True)
class Passes:
    """What came in: ticks_in = wanted + unwanted; `encoded` frames were made of the wanted."""

    passes: int = 0
    ticks_in: int = 0
    wanted: int = 0
    unwanted: int = 0
    encoded: int = 0


class Fanout:
    """Hands ticks on; `dirty` has the outboxes that took something since the last flush.

    owner_of: whose a connection is. record: told how old the oldest wanted tick of a batch was when
    the batch had been handed to the sockets, in ns.
    """

    def __init__(
        self,
        index: Index,
        encoder: MarketEncoder,
        sums: Sums,
        dirty: list[Outbox],
        *,
        owner_of: Callable[[int], str],
        record: Callable[[int], object] = lambda age_ns: None,
    ) -> None:
        self.passes = Passes()
        self._index = index
        self._encode = encoder.frame
        self._sums = sums
        self._dirty = dirty
        self._owner_of = owner_of
        self._record = record

    def hand_on(self, ticks: TickArray) -> None:
        """Offer every tick to those who have its instrument, and flush."""
        first = self._offer(ticks)
        self.flush()
        self.passes.passes += 1
        if first >= 0:
            self._record(max(0, monotonic_ns() - int(ticks["receive_mono_ns"][first])))

    def flush(self) -> None:
        """Write what the outboxes took."""
        dirty = self._dirty
        for outbox in dirty:
            outbox.flush()
        dirty.clear()

    def _offer(self, ticks: TickArray) -> int:
        """Return the position of the first tick that somebody has; -1 if nobody has any."""
        encode, table_of = self._encode, self._index.table
        connections = ticks["connection"].tolist()
        table, connection_before, first = table_of(""), -1, -1
        wanted = encoded = offered = 0
        for i, token in enumerate(ticks["instrument_token"].tolist()):
            connection = connections[i]
            if connection != connection_before:
                table, connection_before = table_of(self._owner_of(connection)), connection
            entries = table.get(token)
            if entries is None:
                continue
            if not wanted:
                first = i
            wanted += 1
            for entry in entries:
                for mode, slot, outboxes in entry.deliveries:
                    frame = encode(ticks, i, mode, entry.key)
                    encoded += 1
                    offered += len(outboxes)
                    for outbox in outboxes:
                        outbox.take(slot, frame)
        passes = self.passes
        passes.ticks_in += len(ticks)
        passes.wanted += wanted
        passes.unwanted += len(ticks) - wanted
        passes.encoded += encoded
        self._sums.offered += offered
        return first
