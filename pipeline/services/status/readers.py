"""Attached strategies, as their own pages say. Floor 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.status.model import Latency, Reader, ReaderCursor
from pipeline.services.status.pages import age_s, latency, text
from pipeline.shm.identity import is_alive
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment

_POLICIES: Final = ("resume", "skip", "raise")


class ReaderPage:
    """A reader's page, copied out, with its latency."""

    def __init__(self, path: Path) -> None:
        segment = Segment.attach(path, SegmentKind.READER)
        self.record = segment.record("ReaderC").copy()
        self.latency: Latency = latency(segment, "ReaderC", "latency")

    @property
    def alive(self) -> bool:
        """Whether its owner lives."""
        head = self.record["head"]
        return is_alive(int(head["pid"]), int(head["start_time"]))

    @property
    def cursors(self) -> np.ndarray[Any, Any]:
        """The rows in use: (n,) of CursorC."""
        count = min(int(self.record["cursor_count"]), layout.reader_cursors)
        rows: np.ndarray[Any, Any] = self.record["cursors"][:count]
        return rows


def read_pages(paths: InstancePaths) -> list[ReaderPage]:
    """Return the pages of all readers, also of dead ones that nobody swept yet."""
    found = []
    for path in sorted(paths.readers.glob("*")):
        try:
            found.append(ReaderPage(path))
        except (FileNotFoundError, SegmentError, LayoutMismatch):
            continue  # it comes or goes at this moment, or is of another build
    return found


def slowest(pages: Iterable[ReaderPage]) -> dict[int, int]:
    """Return the lowest cursor of the living readers, per connection."""
    found: dict[int, int] = {}
    for page in pages:
        if page.alive:
            for row in page.cursors:
                number, cursor = int(row["connection"]), int(row["cursor"])
                found[number] = min(cursor, found.get(number, cursor))
    return found


def reader(page: ReaderPage, tails: Mapping[int, int], now: int) -> Reader:
    """Return a page as a model; `tails` are those of the tick streams, per connection."""
    record, head = page.record, page.record["head"]
    cursors = [_cursor(row, tails) for row in page.cursors]
    return Reader(
        name=text(record["name"]),
        pid=int(head["pid"]),
        alive=page.alive,
        policy=_POLICIES[int(record["policy"]) % len(_POLICIES)],
        heartbeat_age_s=age_s(int(head["heartbeat_mono_ns"]), now),
        batches=int(record["batches"]),
        delivered=sum(c.delivered for c in cursors),
        events=sum(c.events for c in cursors),
        lost=sum(c.lost for c in cursors),
        laps=sum(c.laps for c in cursors),
        lag=max((c.lag for c in cursors), default=0),
        latency=page.latency,
        cursors=cursors,
    )


def _cursor(row: np.void, tails: Mapping[int, int]) -> ReaderCursor:
    connection, cursor = int(row["connection"]), int(row["cursor"])
    return ReaderCursor(
        connection=connection,
        cursor=cursor,
        lag=max(0, tails.get(connection, cursor) - cursor),
        delivered=int(row["delivered"]),
        lost=int(row["lost"]),
        laps=int(row["laps"]),
        events=int(row["events"]),
    )
