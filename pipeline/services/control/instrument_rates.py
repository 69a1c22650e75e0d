"""How many packets a second each instrument brings: an estimate, from the tick streams. Floor 4.

Nothing counts per instrument on the data path. Every few seconds the ticks that came since are
counted here by their instrument; where more came than the newer half of a stream holds, those that
are there stand for all. A rate is over the last one to two minutes. What was dropped, as unassigned
or repeated, is no tick and not counted. Read-only; a look at a stream costs a millisecond or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.control.readings import RECORDS_OFFSET
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment

Array = np.ndarray[Any, Any]

#: Streams are looked at so often; an instrument has a rate after twice that.
LOOK_NS: Final = 5 * NS_PER_S
#: Counts are kept for so long, and then for as long again beside those that follow.
GENERATION_NS: Final = 60 * NS_PER_S
#: One that brought nothing counts as if it had brought this: nobody is free.
_LEAST: Final = 0.5


class InstrumentRates:
    """Estimates for the instruments of one instance, by token, in `rates`."""

    def __init__(self, paths: InstancePaths) -> None:
        self.rates: Mapping[int, float] = {}
        self._paths = paths
        self._streams: dict[int, _Stream] = {}
        self._placed_ns: dict[int, int] = {}
        self._counts: dict[int, float] = {}
        self._counts_before: dict[int, float] = {}
        self._began_ns = self._began_before_ns = self._looked_ns = 0

    def look(self, now_ns: int, connections: Iterable[int], placement: Iterable[int]) -> bool:
        """Count what came on these connections, unless it was done of late; return whether.

        `placement` are the instruments that are to have a rate.
        """
        if self._looked_ns and now_ns - self._looked_ns < LOOK_NS:
            return False
        self._looked_ns = now_ns
        self._began_ns = self._began_ns or now_ns
        self._began_before_ns = self._began_before_ns or now_ns
        present = set(connections)
        for number in self._streams.keys() - present:
            del self._streams[number]
        for number in present:
            self._count(number)
        self._estimate(now_ns, placement)
        if now_ns - self._began_ns >= GENERATION_NS:
            self._counts, self._counts_before = {}, self._counts
            self._began_ns, self._began_before_ns = now_ns, self._began_ns
        return True

    def _count(self, number: int) -> None:
        if number not in self._streams:
            try:
                self._streams[number] = _Stream(self._paths, number)
            except (FileNotFoundError, SegmentError, LayoutMismatch):
                return  # it is being taken away at this moment
        tokens, scale = self._streams[number].take()
        found, counts = np.unique(tokens, return_counts=True)
        for token, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._counts[token] = self._counts.get(token, 0.0) + count * scale

    def _estimate(self, now_ns: int, placement: Iterable[int]) -> None:
        placed = self._placed_ns
        self._placed_ns = {token: placed.get(token, now_ns) for token in placement}
        counts, before, began_ns = self._counts, self._counts_before, self._began_before_ns
        self.rates = {
            token: max(counts.get(token, 0.0) + before.get(token, 0.0), _LEAST)
            * NS_PER_S
            / (now_ns - max(since_ns, began_ns))
            for token, since_ns in self._placed_ns.items()
            if now_ns - max(since_ns, began_ns) >= 2 * LOOK_NS
        }


class _Stream:
    """One connection's tick stream, and up to where it was counted."""

    def __init__(self, paths: InstancePaths, number: int) -> None:
        segment = Segment.attach(paths.segment(SegmentKind.TICKS, number), SegmentKind.TICKS)
        self._control, self._capacity = segment.record("RingControlC"), segment.capacity
        records = segment.records("TickC", segment.capacity, RECORDS_OFFSET)
        self._tokens = records["instrument_token"]
        self._cursor = int(self._control["tail"])  # what came before says nothing of when

    def take(self) -> tuple[Array, float]:
        """Return the instruments of the ticks since the last call, and what each stands for."""
        tail = int(self._control["tail"])
        first = max(self._cursor, tail - self._capacity // 2)
        came, seen = tail - self._cursor, tail - first
        self._cursor = tail
        return self._tokens[np.arange(first, tail) % self._capacity], came / seen if seen else 1.0
