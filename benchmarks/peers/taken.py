"""How far clients have come, as the page of a reader: what load is gated on to lose nothing.

A gateway never waits for its clients; to see how much it delivers when nothing need be conflated,
the exchange sends no more than all of them have received. Says nothing of how the ticks came.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.strategy.page import make_page

_CONNECTION: Final = 0


class Counting(Protocol):
    """A client that gets one message for each tick."""

    received: int


class Taken:
    """A reader of one connection whose cursor is the tick that every client has had.

    Made when all have subscribed and nothing flows: what they have received is counted from here.
    """

    def __init__(
        self, directory: Path, instance: str, name: str, clients: Sequence[Counting]
    ) -> None:
        paths = InstancePaths(instance, directory)
        ticks = Segment.attach(paths.segment(SegmentKind.TICKS, _CONNECTION), SegmentKind.TICKS)
        self._ring = ticks.record("RingControlC")
        self._clients = clients
        for client in clients:
            client.received = 0
        self._begin = self.published
        self._page = make_page(paths, name, ticks.instance_id)
        self._cursors = self._page.record["cursors"]
        self._cursors["connection"][0] = _CONNECTION
        self.note()
        self._page.record["cursor_count"] = 1

    @property
    def published(self) -> int:
        """Where the tick stream ends."""
        return int(self._ring["tail"])

    @property
    def missing(self) -> int:
        """How many ticks some client has not had, or had twice, up to the stream's end."""
        published = self.published - self._begin
        return max(abs(published - client.received) for client in self._clients)

    def note(self) -> None:
        """Let the source send what all have taken."""
        self._cursors["cursor"][0] = self._begin + min(c.received for c in self._clients)

    def close(self) -> None:
        """Let the source send nothing more; what is under way still comes."""
        self._page.set_state(State.CLOSED, Reason.SHUTDOWN)
        self._page.segment.path.unlink(missing_ok=True)
