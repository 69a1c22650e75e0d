"""Connections with their writers and one compiled reader, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ext.cells import Bell
from ext.streams import (
    ReaderPolicy,
    StreamReader,
)
from pipeline.core import layout
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from tests.strategy.writer import LaneWriter, are_whole

ID = bytes(16)
CAPACITY = 1024


class Bench:
    """`count` connections with their writers and one reader, in one process."""

    def __init__(
        self, folder: Path, count: int = 1, *, first: int = 1, room: int = 512,
        policy: ReaderPolicy = ReaderPolicy.READER_RESUME, oldest: bool = False,
        capacity: int = CAPACITY, event_capacity: int = 512, spin_ns: int = 0, nap_ns: int = 0,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.lanes = []
        self.segments = []
        self.bell_segment = Segment.create(folder / "bell", specs.bell(), instance_id=ID)
        self.bell = Bell(self.bell_segment.mapping, layout.data_offset)
        self.page = Segment.create(folder / "page", specs.reader(), instance_id=ID)
        self.target = np.zeros(room, layout.tick_dtype)
        self.reader = StreamReader(
            self.target,
            self.bell_segment.mapping,
            self.page.mapping,
            policy=policy,
            spin_ns=spin_ns,
            nap_ns=nap_ns,
        )
        for number in range(count):
            ticks = Segment.create(
                folder / f"t{number}", specs.ticks(number, capacity=capacity), instance_id=ID
            )
            events = Segment.create(
                folder / f"e{number}", specs.events(number, capacity=event_capacity), instance_id=ID
            )
            lane = LaneWriter(ticks, events, number)
            lane.ticks.begin_at(first)
            self.lanes.append(lane)
            self.segments.append((ticks, events))
            self.reader.add(number, ticks.mapping, events.mapping, oldest=oldest)

    @property
    def record(self) -> np.ndarray[Any, Any]:
        return self.page.record("ReaderC")

    def poll(self) -> tuple[list[int], list[Any]]:
        count = self.reader.poll()
        assert are_whole(self.target[:count])
        return self.target["sequence"][:count].tolist(), self.reader.notices()
