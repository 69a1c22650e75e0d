"""The hop from feed to decoder, over our frame ring or over faster-fifo's queue.

    python -m benchmarks.peers.hop speed ring|faster-fifo PER_FRAME SECONDS
    python -m benchmarks.peers.hop kill ring|faster-fifo PER_FRAME KILLS SEED

A writing process (the feed's place) hands frames over, a decoding process runs the product's own
decoder on them: records, commit block, latest table, tick stream. Over the queue the decoder puts
what it gets into a private frame ring first, because that is what it reads. `speed` prints ticks
and CPU of both; `kill` kills the two in turn at random moments, forks a successor each time, and
prints how many deaths the transport has survived. The processes are forks, as the queue demands.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.frames import full_frames
from benchmarks.segments import FRAME_BYTES, Connection
from benchmarks.window import cpu_s
from ext.bench import pump
from ext.cells import Bell
from ext.process import die_with_parent
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from pipeline.shm import specs
from pipeline.shm.segment import Segment

_FORK: Final = multiprocessing.get_context("fork")
_SLICE_NS: Final = 100_000  # of decoding, before the window moves on
_RUN_NS: Final = 10_000_000_000
_READ_BYTES: Final = 256 << 10  # what a feed takes off its socket at once
_STUCK_S: Final = 2.0
_PACKETS: Final = 9000


class RingHop:
    """Ours: the writer is held within a window of the decoder, and never waits for a lock."""

    def __init__(self, folder: Path, frames: list[bytes], progress: Any) -> None:
        self._connection = Connection(folder)
        self._cursor = Segment.create(folder / "cursor", specs.bell(), instance_id=bytes(16))
        self._frames, self._progress = frames, progress
        self._window = min(4096, FRAME_BYTES // len(frames[0]) // 2)

    def write(self) -> None:
        """Be the feed."""
        writer = FrameRingWriter(self._connection.mapping(SegmentKind.FRAMES))
        bell = Bell(self._connection.mapping(SegmentKind.BELL), layout.data_offset)
        many = max(1, _READ_BYTES // len(self._frames[0]))
        while True:
            pump(
                writer, self._cursor.mapping, self._frames, count=len(self._frames),
                window=self._window, bell=bell, batch=many,
            )  # fmt: skip

    def decode(self) -> None:
        """Be the decoder: goes on where the last one has committed."""
        decoder = self._connection.decoder()
        word = np.frombuffer(self._cursor.mapping, np.uint64, 1, layout.data_offset)
        while True:
            decoder.run(_SLICE_NS)
            word[0] = self._progress.value = self._connection.lane.source_sequence


class QueueHop:
    """faster-fifo: put_many of one read's frames, get_many, bytes as they are."""

    def __init__(self, folder: Path, frames: list[bytes], progress: Any) -> None:
        import faster_fifo

        self._connection = Connection(folder)
        identity: dict[str, Any] = {"dumps": bytes, "loads": bytes}
        self._queue = faster_fifo.Queue(FRAME_BYTES, **identity)
        self._frames, self._progress = frames, progress
        self._many = max(1, _READ_BYTES // len(frames[0]))

    def write(self) -> None:
        """Be the feed."""
        frames, many = self._frames, self._many
        while True:
            for at in range(0, len(frames), many):
                self._queue.put_many(frames[at : at + many], timeout=60.0)

    def decode(self) -> None:
        """Be the decoder."""
        decoder = self._connection.decoder()
        self._connection.continue_writing()
        while True:
            found = self._queue.get_many(max_messages_to_get=self._many, timeout=60.0)
            self._connection.send(found)
            decoder.run(_RUN_NS, until_idle=True)
            self._progress.value += len(found)


HOPS: Final[dict[str, type]] = {"ring": RingHop, "faster-fifo": QueueHop}


def _start(work: Callable[[], None]) -> Any:
    def run() -> None:
        die_with_parent(signal.SIGKILL)
        work()

    process = _FORK.Process(target=run)
    process.start()
    return process


def _advances(progress: Any, by: int) -> bool:
    """Return whether so many frames more are decoded in time."""
    goal, end_s = progress.value + by, time.monotonic() + _STUCK_S
    while progress.value < goal:
        if time.monotonic() > end_s:
            return False
        time.sleep(0.001)
    return True


def speed(hop: Any, progress: Any, processes: dict[str, Any], seconds: float) -> dict[str, float]:
    """Measure a window."""

    def look() -> tuple[float, float, float]:
        used = [cpu_s(process.pid) for process in processes.values()]
        return progress.value, time.monotonic(), sum(used)

    time.sleep(0.1)
    before, after = look(), (time.sleep(seconds), look())[1]
    frames, passed_s, used_s = (new - old for old, new in zip(before, after, strict=True))
    return {"frames": frames, "seconds": passed_s, "cpu_s": used_s}


def kill(
    hop: Any, progress: Any, processes: dict[str, Any], kills: int, seed: int
) -> dict[str, Any]:
    """Kill the two in turn until the transport stands still, or `kills` times."""
    draw = random.Random(seed)
    for number in range(kills):
        name = ("decode", "write")[number % 2]
        time.sleep(draw.uniform(0.005, 0.03))
        processes[name].kill()
        processes[name].join()
        processes[name] = _start(getattr(hop, name))
        if not _advances(progress, 1):
            asleep = [_sleeps_in(process.pid) for process in processes.values()]
            return {"survived": number, "asleep_in": asleep}
    return {"survived": kills, "asleep_in": []}


def _sleeps_in(pid: int) -> str:
    """Return the kernel's function that a process waits in, if the system tells."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text() or "?"
    except OSError:
        return "?"


def main() -> None:
    """Measure one transport."""
    task, name, per_frame = sys.argv[1], sys.argv[2], int(sys.argv[3])
    progress = _FORK.RawValue("Q", 0)
    frames = full_frames(_PACKETS // per_frame, per_frame)
    with tempfile.TemporaryDirectory() as folder:
        hop = HOPS[name](Path(folder), frames, progress)
        processes = {name: _start(getattr(hop, name)) for name in ("decode", "write")}
        try:
            if not _advances(progress, 10):
                sys.exit("no frame was decoded")
            if task == "speed":
                found = speed(hop, progress, processes, float(sys.argv[4]))
            else:
                found = kill(hop, progress, processes, int(sys.argv[4]), int(sys.argv[5]))
        finally:
            for process in processes.values():
                process.kill()
                process.join()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
