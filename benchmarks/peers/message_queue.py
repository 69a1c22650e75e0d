"""Small messages from one process to another, through one of the contenders.

    python -m benchmarks.peers.message_queue KIND BYTES COUNT

The writing process is a fork of the reading one, because some of the peers can be handed on by a
fork only. Prints the seconds from the first message to the last, and both processes' CPU, as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.ring_writer import messages
from ext.bench import drain, pump
from ext.process import die_with_parent
from ext.rings import FrameRingReader, FrameRingWriter
from pipeline.shm import specs
from pipeline.shm.segment import Segment

MANY: Final = 100  # messages of one put_many
QUEUE_BYTES: Final = 1 << 20
RING_RECORDS: Final = 4096
_TIMEOUT_S: Final = 30.0

_Work = Callable[[int], None]


def frame_ring(size: int, folder: Path) -> tuple[_Work, _Work]:
    """Ours: the writer never waits for anybody, so it is held within half a ring by a cursor."""
    spec = specs.frames(0, capacity=RING_RECORDS, area_bytes=QUEUE_BYTES)
    ring = Segment.create(folder / "ring", spec, instance_id=bytes(16))
    cursor = Segment.create(folder / "cursor", specs.bell(), instance_id=bytes(16))
    window = min(RING_RECORDS, QUEUE_BYTES // (size + 8)) // 2
    sent = messages(size)
    reader = FrameRingReader(ring.mapping)

    def write(count: int) -> None:
        writer = FrameRingWriter(ring.mapping)
        pump(writer, cursor.mapping, sent, count=count, window=window)

    def read(count: int) -> None:
        drain(reader, cursor.mapping, count=count)

    return write, read


def faster_fifo(size: int, folder: Path) -> tuple[_Work, _Work]:
    """put_many of 100 and get_many, bytes as they are."""
    import faster_fifo as library

    identity: dict[str, Any] = {"dumps": bytes, "loads": bytes}
    queue = library.Queue(QUEUE_BYTES, **identity)
    batch = messages(size, MANY)

    def write(count: int) -> None:
        for _ in range(0, count, MANY):
            queue.put_many(batch, timeout=_TIMEOUT_S)

    def read(count: int) -> None:
        while count > 0:  # never more than asked for: the next call wants the rest
            found = queue.get_many(max_messages_to_get=min(count, MANY), timeout=_TIMEOUT_S)
            count -= len(found)

    return write, read


def multiprocessing_queue(size: int, folder: Path) -> tuple[_Work, _Work]:
    """put and get; a thread of the writer pickles and writes."""
    queue = multiprocessing.get_context("fork").Queue()
    sent = messages(size, MANY)

    def write(count: int) -> None:
        for number in range(count):
            queue.put(sent[number % MANY])

    def read(count: int) -> None:
        for _ in range(count):
            queue.get(timeout=_TIMEOUT_S)

    return write, read


def multiprocessing_pipe(size: int, folder: Path) -> tuple[_Work, _Work]:
    """send_bytes and recv_bytes, without pickle."""
    reading, writing = multiprocessing.get_context("fork").Pipe(duplex=False)
    sent = messages(size, MANY)

    def write(count: int) -> None:
        for number in range(count):
            writing.send_bytes(sent[number % MANY])

    def read(count: int) -> None:
        for _ in range(count):
            reading.recv_bytes()

    return write, read


def zeromq(size: int, folder: Path) -> tuple[_Work, _Work]:
    """PUSH and PULL over ipc, each end with a context of its own."""
    import zmq

    address = f"ipc://{folder / 'socket'}"
    sent = messages(size, MANY)

    def write(count: int) -> None:
        context = zmq.Context()
        with context.socket(zmq.PUSH) as push:
            push.connect(address)
            for number in range(count):
                push.send(sent[number % MANY])
        context.term()

    opened: list[Any] = []

    def read(count: int) -> None:
        if not opened:  # in the reading process alone, which has forked by now
            opened.append(zmq.Context().socket(zmq.PULL))
            opened[0].bind(address)
        for _ in range(count):
            opened[0].recv()

    return write, read


KINDS: Final[dict[str, Callable[[int, Path], tuple[_Work, _Work]]]] = {
    "ring": frame_ring, "faster-fifo": faster_fifo, "queue": multiprocessing_queue,
    "pipe": multiprocessing_pipe, "zmq": zeromq,
}  # fmt: skip


def main() -> None:
    """Measure one pass."""
    kind, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as name:
        write, read = KINDS[kind](size, Path(name))

        def run() -> None:
            die_with_parent(signal.SIGKILL)
            write(count)

        writer = multiprocessing.get_context("fork").Process(target=run)
        writer.start()
        read(min(MANY, count))  # the first ones wait for the other process to start
        left = count - MANY
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        read(left)
        seconds, reader_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        writer.join(_TIMEOUT_S)
        if writer.exitcode != 0:
            sys.exit(f"the writing process ended with {writer.exitcode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({
        "messages": left, "seconds": seconds, "reader_cpu_s": reader_cpu_s,
        "writer_cpu_s": used.ru_utime + used.ru_stime,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
