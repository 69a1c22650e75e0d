"""How far a named reader has come, from its page in the instance's directory. Floor 4.

The page is `readers/<name>.<pid>`, which its owner alone writes (`ReaderC` in the layout); it is
mapped read-only here. A cursor is the sequence of the next tick to hand out, so it counts the
ticks that the reader has passed, the lapped ones too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.enums import SegmentKind, State
from pipeline.core.errors import LayoutMismatch, PipelineError, SegmentError
from pipeline.shm.identity import is_alive
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment

_LOOK_S: Final = 0.05
_SHARE: Final = 4  # half of what may be: fewer ticks under way stay nearer to who takes them


class ReaderPage:
    """Waits for the reader to appear, and then watches it: what `Gate` asks."""

    def __init__(self, directory: Path, name: str) -> None:
        self._paths = InstancePaths(directory.name, directory.parent.parent)
        if self._paths.directory != directory:
            raise SegmentError(
                f"{directory} is no instance's directory: expected .../pipeline-<uid>/<instance>"
            )
        self.name = name
        self._record: np.ndarray[Any, Any] | None = None
        self._next_look_s = 0.0
        self._places: dict[int, int] = {}
        self._windows: dict[int, int] = {}

    def attached(self) -> bool:
        """Whether the reader is there; raise PipelineError when it has died.

        One that has let go in good order is waited for again.
        """
        now_s = time.monotonic()
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_S
            self._look()
        return self._record is not None

    def _look(self) -> None:
        record = self._record
        if record is None:
            self._record = self._find()
        elif int(record["head"]["state"]) == State.CLOSED:
            self._record = None
            self._places.clear()
        elif not _alive(record):
            raise PipelineError(
                f"reader {self.name!r}, which this load is gated on, has died: start both again"
            )

    def _find(self) -> np.ndarray[Any, Any] | None:
        for path in sorted(self._paths.readers.glob(f"{self.name}.*")):
            try:
                record = Segment.attach(path, SegmentKind.READER).record("ReaderC")
            except (FileNotFoundError, SegmentError, LayoutMismatch):
                continue  # swept just now, or being made
            if _alive(record) and int(record["head"]["state"]) != State.CLOSED:
                return record
        return None

    def idle_waits(self) -> int:
        """Return how often the reader has waited for ticks, ever."""
        return 0 if self._record is None else int(self._record["bell_waits"])

    def window(self, connection: int) -> int:
        """How many ticks of this connection may be under way: a quarter of its tick stream."""
        if connection not in self._windows:
            path = self._paths.segment(SegmentKind.TICKS, connection)
            capacity = Segment.attach(path, SegmentKind.TICKS).capacity
            self._windows[connection] = max(1, capacity // _SHARE)
        return self._windows[connection]

    def delivered(self, connection: int) -> int | None:
        """Return how many ticks of this connection it has passed; None: it has no cursor yet."""
        record = self._record
        if record is None:
            return None
        place = self._places.get(connection)
        if place is None or int(record["cursors"]["connection"][place]) != connection:
            count = int(record["cursor_count"])
            found = np.flatnonzero(record["cursors"]["connection"][:count] == connection)
            if not len(found):
                return None
            place = self._places[connection] = int(found[0])
        return int(record["cursors"]["cursor"][place])


def _alive(record: np.ndarray[Any, Any]) -> bool:
    head = record["head"]
    return is_alive(int(head["pid"]), int(head["start_time"]))
