"""Waiting for a batch: what comes alone is returned, all else is left to the next poll, once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ext.rings import FrameRingReader, FrameRingWriter
from ext.streams import NoticeKind, StreamReader
from pipeline.core import layout
from pipeline.core.enums import EventKind
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from tests.ext.stream_bench import ID, Bench


def test_ticks_that_come_alone_are_returned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2)
    kept = []
    for count in (1, 5, 256, 3):
        bench.lanes[0].write_ticks(count)
        bench.lanes[1].write_ticks(count)
        batch = bench.reader.wait_batch(10**9)
        assert batch is not None
        assert batch.shape == (2 * count,)
        assert batch.dtype == layout.tick_dtype
        assert np.shares_memory(batch, bench.target)
        assert batch.tobytes() == bench.target[: 2 * count].tobytes()
        assert (batch.flags.c_contiguous, batch.flags.owndata) == (True, False)
        kept.append(batch)
        assert bench.poll() == ([], [])
    assert [len(batch) for batch in kept] == [2, 10, 512, 6]  # each an array of its own
    assert kept[1].copy()[:-1]["sequence"].shape == (9,)
    assert [int(row["delivered"]) for row in bench.record["cursors"][:2]] == [265, 265]
    assert int(bench.record["latency"]["total"]) == 8
    assert int(bench.record["batches"]) == bench.reader.batches == 4


def test_a_batch_outlives_its_reader(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lanes[0].write_ticks(4)
    batch = bench.reader.wait_batch(10**9)
    del bench.reader, bench.target
    assert batch is not None
    assert batch["sequence"].tolist() == [1, 2, 3, 4]


def test_an_event_leaves_all_of_it_to_the_next_poll(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    lane.write_ticks(10)
    lane.write_event(EventKind.GAP)
    lane.write_ticks(7)
    assert bench.reader.wait_batch(10**9) is None
    assert bench.reader.wait_batch(10**9) is None  # until it has been taken
    ticks, notices = bench.poll()
    assert ticks == list(range(1, 11))
    assert [(n[0], n[4]["kind"]) for n in notices] == [(NoticeKind.NOTICE_EVENT, EventKind.GAP)]
    batch = bench.reader.wait_batch(10**9)
    assert batch is not None
    assert batch["sequence"].tolist() == list(range(11, 18))


def test_an_event_alone_is_left_to_the_next_poll(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lanes[0].write_event()
    assert bench.reader.wait_batch(10**9) is None
    bench.lanes[0].write_ticks(3)  # behind it: not in the same poll
    ticks, notices = bench.poll()
    assert (ticks, len(notices)) == ([], 1)
    assert bench.poll() == ([1, 2, 3], [])


def test_a_lapped_reader_is_told_by_the_next_poll(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(50):
        bench.lanes[0].write_ticks(100)
    assert bench.reader.wait_batch(10**9) is None
    _, ((kind, _, start, lost, _),) = bench.poll()
    assert (kind, start) == (NoticeKind.NOTICE_TICKS_LOST, 1)
    delivered: list[int] = []
    while (batch := bench.reader.wait_batch(0)) is not None:
        delivered += batch["sequence"].tolist()
    assert delivered == list(range(1 + lost, 5001))


def test_nothing_comes_of_a_timeout(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.reader.wait_batch(1_000_000) is None
    assert bench.reader.wait_batch(0) is None
    bench.lanes[0].write_ticks(2)
    assert bench.poll() == ([1, 2], [])


def test_news_of_an_order_ring_are_not_polled(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    ring = Segment.create(tmp_path / "o0", specs.orders(0, area_bytes=65536), instance_id=ID)
    reader = StreamReader(bench.target, bench.bell_segment.mapping)
    ticks, events = (segment.mapping for segment in bench.segments[0])
    reader.add(0, ticks, events, orders=FrameRingReader(ring.mapping))
    reader.watch_orders = True
    orders = FrameRingWriter(ring.mapping)
    assert orders.append(b"{}", connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
    assert reader.wait_batch(10**9) is None
    bench.lanes[0].write_ticks(3)
    assert reader.poll() == 3  # a fresh one
    bench.lanes[0].write_ticks(2)
    batch = reader.wait_batch(10**9)
    assert batch is not None
    assert batch["sequence"].tolist() == [4, 5]


def test_after_a_stop_nothing_is_returned(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lanes[0].write_ticks(2)
    bench.reader.stop()
    assert bench.reader.wait_batch(10**9) is None
    assert bench.poll() == ([1, 2], [])


@pytest.mark.parametrize("spin_ns", [0, 200_000])
def test_a_sleeper_is_woken_with_its_batch(tmp_path: Path, spin_ns: int) -> None:
    bench = Bench(tmp_path, spin_ns=spin_ns)
    bell = bench.bell_segment.record("BellC")

    def write() -> None:
        deadline = time.monotonic() + 30
        while not bell["sleepers"] and time.monotonic() < deadline:
            time.sleep(0.001)
        bench.lanes[0].write_ticks(6)
        bench.bell.ring()

    with _beside(write):
        deadline = time.monotonic() + 30
        while (batch := bench.reader.wait_batch(10**8)) is None:
            assert time.monotonic() < deadline
    assert batch["sequence"].tolist() == [1, 2, 3, 4, 5, 6]


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def _on_alarm(handler: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def _until_busy(reader: StreamReader) -> None:
    """Return when another thread waits with the reader."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            reader.remove(99)
        except KeyError:
            time.sleep(0.001)
        except RuntimeError:
            return


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("in_place", [False, True])
def test_what_came_with_a_signal_is_there_after_its_handler_raised(
    tmp_path: Path, in_place: bool
) -> None:
    bench = Bench(tmp_path, spin_ns=10**9)  # it looks all the time: no sleep that a signal ends

    def write() -> None:
        _until_busy(bench.reader)
        signal.raise_signal(signal.SIGALRM)  # noted here; handled by the main thread
        bench.lanes[0].write_ticks(5)

    with _on_alarm(_interrupt), pytest.raises(KeyboardInterrupt), _beside(write):
        for _ in range(1000):
            assert bench.reader.wait_batch(10**9) is None
    if in_place:  # another loop: it goes on where the first one stopped
        assert bench.reader.view(0) == (1, 5)
    else:
        batch = bench.reader.wait_batch(10**9)
        assert batch is not None
        assert batch["sequence"].tolist() == [1, 2, 3, 4, 5]
    assert bench.poll() == ([], [])


def test_a_handler_that_stops_gets_nothing_returned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spin_ns=10**9)

    def write() -> None:
        _until_busy(bench.reader)
        signal.raise_signal(signal.SIGALRM)
        bench.lanes[0].write_ticks(5)

    with _on_alarm(bench.reader.stop), _beside(write):
        deadline = time.monotonic() + 30
        while not bench.reader.stopped:
            assert bench.reader.wait_batch(10**9) is None
            assert time.monotonic() < deadline
    assert bench.poll() == ([1, 2, 3, 4, 5], [])


def test_another_thread_and_a_forked_child_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    refused = False
    for _ in range(100):  # a wait of 100 ms may be over before this thread has its turn again
        with _beside(lambda: bench.reader.wait_batch(10**8)):
            _until_busy(bench.reader)  # not sooner: it would be the other one that is refused
            try:
                bench.reader.wait_batch(0)
            except RuntimeError as error:
                refused = "another thread" in str(error)
        if refused:
            break
    assert refused
    child = os.fork()
    if child == 0:
        try:
            bench.reader.wait_batch(0)
        except RuntimeError as error:
            os._exit(0 if "attach again in the child" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
