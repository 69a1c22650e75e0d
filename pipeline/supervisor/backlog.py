"""How far the decoders are behind the feeds, seen from outside. Floor 5; read-only."""

from __future__ import annotations

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import commit_cell


class Backlog:
    """The frames of one connection that its decoder has not committed yet."""

    def __init__(self, paths: InstancePaths, connection: int) -> None:
        frames = Segment.attach(paths.segment(SegmentKind.FRAMES, connection), SegmentKind.FRAMES)
        ticks = Segment.attach(paths.segment(SegmentKind.TICKS, connection), SegmentKind.TICKS)
        self._control = frames.record("RingControlC")
        self._commit = np.zeros((), layout.dtypes["CommitC"])
        self._cell = commit_cell(ticks)

    def frames(self) -> int:
        """Return how many there are at this moment."""
        tail = int(self._control["tail"])
        self._cell.read_into(self._commit.reshape(1).view(np.uint8))
        return max(0, tail - int(self._commit["source_sequence"]))
