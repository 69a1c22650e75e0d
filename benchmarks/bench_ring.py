"""The frame ring from process to process, beside faster-fifo.

    [writing process] -> append -> [frame ring] -> peek, copy, check -> [reading process]

A regression here delays every frame on its way from the socket to the decoder.

Wall time of the reading process, because two processes are at work: on a machine whose cores are
taken the figure is too high, and the best round is the one to look at. The writer stays within
half a ring of the reader, so that nothing is lost; the ring itself never waits for anybody. It
publishes 64 messages at a time, as a feed does with what one read of its socket has brought.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Meter
from benchmarks.ring_writer import messages
from ext.bench import drain
from ext.rings import FrameRingReader
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from pipeline.supervisor.launch import launch, wait_or_kill

pytestmark = pytest.mark.benchmark(timer=time.perf_counter)
RECORDS = 4096
AREA_BYTES = 1 << 20
MANY = 100  # messages of one put_many


@pytest.fixture
def folder() -> Iterator[Path]:
    base = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=base if base.is_dir() else None) as name:
        yield Path(name)


@pytest.mark.parametrize("size", [200, 2048])
def test_frame_ring(meter: Meter, folder: Path, tiny: bool, size: int) -> None:
    shapes = {
        "ring": specs.frames(0, capacity=RECORDS, area_bytes=AREA_BYTES),
        "cursor": specs.bell(),
    }
    ring, cursor = (Segment.create(folder / n, s, instance_id=bytes(16)) for n, s in shapes.items())
    reader = FrameRingReader(ring.mapping)
    meter.rounds = 2 if tiny else 200
    count = 20_000 if tiny else 50_000  # short: in some rounds both processes have their core
    window = min(RECORDS, AREA_BYTES // (size + 8)) // 2
    total = count * (meter.rounds + 1)
    line = ["-m", "benchmarks.ring_writer", str(folder), str(size), str(total), str(window)]
    process = launch(line)
    try:
        meter.measure(
            lambda: drain(reader, cursor.mapping, count=count), units=count, case="frame ring",
            group=f"process to process, {size} B", unit="ns/message, wall",
        )  # fmt: skip
    finally:
        assert wait_or_kill(process, 10) == 0


def _fill(queue: Any, size: int, total: int) -> None:
    batch = messages(size, MANY)
    for _ in range(0, total, MANY):
        queue.put_many(batch, timeout=30.0)


@pytest.mark.parametrize("size", [200, 2048])
def test_faster_fifo(meter: Meter, tiny: bool, size: int) -> None:
    """put_many of 100 and get_many, bytes as they are; its queue is handed on by a fork only."""
    fifo = pytest.importorskip("faster_fifo")
    identity: dict[str, Any] = {"dumps": bytes, "loads": bytes}
    queue = fifo.Queue(AREA_BYTES, **identity)
    meter.rounds = 2 if tiny else 7
    count = 5_000 if tiny else 100_000
    total = count * (meter.rounds + 1)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_fill, args=(queue, size, total))
    process.start()
    received = goal = 0

    def run() -> None:
        nonlocal received, goal
        goal += count  # what a round takes too many, the next one takes less
        while received < goal:
            received += len(queue.get_many(max_messages_to_get=MANY, timeout=30.0))

    meter.measure(
        run, units=count, case="faster-fifo put_many (peer)", group=f"process to process, {size} B",
        unit="ns/message, wall", is_peer=True,
    )  # fmt: skip
    process.join(10)
    assert process.exitcode == 0
