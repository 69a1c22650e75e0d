"""The gate of the gateway's throughput: the exchange sees what the slowest client has had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.peers.taken import Taken
from pipeline.core.enums import SegmentKind
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.sim.reader_page import ReaderPage


@dataclass
class Client:
    received: int = 0


@pytest.fixture
def paths(tmp_path: Path) -> InstancePaths:
    paths = InstancePaths("bench", tmp_path)
    paths.readers.mkdir(parents=True)
    return paths


@pytest.fixture
def ticks(paths: InstancePaths) -> Segment:
    path = paths.segment(SegmentKind.TICKS, 0)
    return Segment.create(path, specs.ticks(0, capacity=1024), instance_id=bytes(16))


def test_the_source_sees_what_the_slowest_has_had(paths: InstancePaths, ticks: Segment) -> None:
    ring = ticks.record("RingControlC")
    ring["tail"] = 700
    clients = [Client(4), Client(9)]
    reader = ReaderPage(paths.directory, "clients")
    assert not reader.attached()
    taken = Taken(paths.root, "bench", "clients", clients)
    reader._next_look_s = 0
    assert reader.attached() and reader.window(0) == 256
    assert reader.delivered(0) == 700 and taken.missing == 0
    ring["tail"] = 800
    clients[0].received, clients[1].received = 100, 64
    taken.note()
    assert reader.delivered(0) == 764 and taken.missing == 36
    clients[1].received = 101
    taken.note()
    assert reader.delivered(0) == 800 and taken.missing == 1
    taken.close()
    reader._next_look_s = 0
    assert not reader.attached() and not list(paths.readers.iterdir())
