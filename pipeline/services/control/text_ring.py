"""What the broker says on a connection, as far as the pool has to know: its text ring. Floor 4.

The feed copies every text that is no order update into that ring. A reader that was lapped misses
texts; what they said shows all the same, in instruments that are never confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ext.rings import FrameRingReader
from pipeline.core.enums import FrameKind
from pipeline.shm.segment import Segment

#: Texts that are read of one connection in a turn; a flood of them has to wait.
TEXTS_PER_TURN: Final = 64


class Text(NamedTuple):
    """One text message, as it came."""

    connection_epoch: int
    receive_mono_ns: int
    payload: bytes


class TextFollower:
    """A cursor in one connection's text ring, from the oldest text that is still there."""

    def __init__(self, segment: Segment) -> None:
        self._reader = FrameRingReader(segment.mapping)

    @property
    def lost(self) -> int:
        """How many texts were overwritten before they were read."""
        return self._reader.lost

    def take(self) -> list[Text]:
        """Return the texts that have come, TEXTS_PER_TURN at most."""
        return list(self._news())

    def _news(self) -> Iterator[Text]:
        reader = self._reader
        for _ in range(TEXTS_PER_TURN):
            if reader.cursor >= reader.tail:
                return
            found = reader.poll()
            if found is not None and found["kind"] == FrameKind.MESSAGE:
                yield Text(found["connection_epoch"], found["receive_mono_ns"], found["payload"])
