"""The compiled reader: order of ticks and events, exact losses, waiting, and what it refuses."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ext.streams import (
    NoticeKind,
    ReaderPolicy,
    ReaderWait,
    StreamReader,
    copy_latest,
)
from pipeline.core import layout
from pipeline.core.enums import EventKind
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from tests.ext.stream_bench import CAPACITY, ID, Bench


def test_ticks_arrive_once_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lanes[0].write_ticks(10)
    bench.lanes[0].write_ticks(5)
    assert bench.poll() == (list(range(1, 16)), [])
    assert bench.poll() == ([], [])
    row = bench.record["cursors"][0]
    assert (row["cursor"], row["delivered"], row["lost"], row["source_sequence"]) == (16, 15, 0, 2)
    assert int(bench.record["batches"]) == 1


def test_latency_has_one_sample_per_frame(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2)
    for lane in bench.lanes:
        lane.write_ticks(10)
        lane.write_ticks(10)
    bench.reader.poll()
    assert int(bench.record["latency"]["total"]) == 4
    assert 0 < int(bench.record["latency"]["max"]) < 60 * 10**9


def test_an_event_cuts_the_batch_where_it_belongs(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    lane.write_ticks(10)
    lane.write_event(EventKind.GAP)
    lane.write_event(EventKind.STATE)
    lane.write_ticks(7)
    ticks, notices = bench.poll()
    assert ticks == list(range(1, 11))
    assert [(n[0], n[2], n[4]["kind"]) for n in notices] == [
        (NoticeKind.NOTICE_EVENT, 0, EventKind.GAP),
        (NoticeKind.NOTICE_EVENT, 1, EventKind.STATE),
    ]
    assert bench.poll() == (list(range(11, 18)), [])
    assert int(bench.record["cursors"][0]["events"]) == 2


def test_an_event_comes_at_once_when_there_are_no_new_ticks(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.lanes[0].write_event()
    ticks, notices = bench.poll()
    assert ticks == []
    assert len(notices) == 1


def test_an_event_waits_for_the_ticks_before_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    pending = lane.make_ticks(4)
    lane.ticks.write(pending)
    lane.write_event(ahead=4)  # published, its ticks not yet: the decoder died in between
    assert bench.poll() == ([], [])
    assert bench.reader.wait(0) == ReaderWait.WAIT_OVER
    lane.ticks.publish(4)
    ticks, notices = bench.poll()
    assert (ticks, len(notices)) == ([1, 2, 3, 4], 1)


def test_events_are_late_but_complete_after_an_overrun_of_ticks(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    places = []
    for _ in range(10):
        lane.write_ticks(200)
        places.append(lane.write_event())
    ticks, notices = bench.poll()
    assert ticks == []
    kind, _, start, lost, _ = notices[0]
    assert (kind, start) == (NoticeKind.NOTICE_TICKS_LOST, 1)
    expected = 1 + lost
    seen, late = 0, 0
    while True:
        ticks, notices = bench.poll()
        if not ticks and not notices:
            break
        if ticks:
            assert ticks == list(range(expected, expected + len(ticks)))
            expected += len(ticks)
        for notice in notices:
            assert notice[2] == seen
            assert notice[4]["tick_sequence"] == places[seen]
            late += places[seen] < expected
            seen += 1
    assert (seen, expected) == (10, 2001)
    assert late > 0


@pytest.mark.parametrize("policy", list(ReaderPolicy))
def test_a_lapped_reader_knows_exactly_how_many_it_lost(
    tmp_path: Path, policy: ReaderPolicy
) -> None:
    bench = Bench(tmp_path, policy=policy)
    for _ in range(50):
        bench.lanes[0].write_ticks(100)
    _, notices = bench.poll()
    ((kind, _, start, lost, _),) = notices
    assert (kind, start) == (NoticeKind.NOTICE_TICKS_LOST, 1)
    if policy is ReaderPolicy.READER_SKIP:
        assert lost == 5000
    else:
        assert 5000 - CAPACITY < lost < 5000
    row = bench.record["cursors"][0]
    assert (int(row["lost"]), int(row["laps"]), int(row["cursor"])) == (lost, 1, 1 + lost)
    bench.lanes[0].write_ticks(3)
    delivered = []
    while ticks := bench.poll()[0]:
        delivered += ticks
    assert delivered == list(range(1 + lost, 5004))


def test_lapped_events_are_counted_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2000):
        bench.lanes[0].write_event()
    lost = seen = 0
    while notices := bench.poll()[1]:
        for kind, _, sequence, missing, _ in notices:
            if kind == NoticeKind.NOTICE_EVENTS_LOST:
                assert sequence == lost + seen
                lost += missing
            else:
                assert sequence == lost + seen
                seen += 1
    assert lost + seen == 2000
    assert 0 < seen <= 512


def test_connections_share_the_buffer_fairly(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 3, room=300)
    for lane in bench.lanes:
        lane.write_ticks(250)
    count = bench.reader.poll()
    found = np.unique(bench.target["connection"][:count], return_counts=True)[1]
    assert found.tolist() == [100, 100, 100]
    while bench.reader.poll():
        pass
    assert [int(r["delivered"]) for r in bench.record["cursors"][:3]] == [250, 250, 250]


@pytest.mark.parametrize("first", [1, 2**32 - 700, 2**63 - 700])
def test_sequences_run_over_the_word_boundaries(tmp_path: Path, first: int) -> None:
    bench = Bench(tmp_path, first=first)
    for round_ in range(20):
        bench.lanes[0].write_ticks(100)
        bench.lanes[0].write_event()
        ticks, notices = bench.poll()
        start = first + 100 * round_
        assert ticks == list(range(start, start + 100))
        assert notices[0][4]["tick_sequence"] == start + 100


def test_now_begins_behind_what_is_published_and_oldest_before_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    lane.write_event()
    lane.write_ticks(100)
    ticks, events = bench.segments[0]
    for oldest, expected in ((False, []), (True, list(range(1, 101)))):
        target = np.zeros(256, layout.tick_dtype)
        reader = StreamReader(target, bench.bell_segment.mapping)
        reader.add(0, ticks.mapping, events.mapping, oldest=oldest)
        found = []
        seen = 0
        for _ in range(3):
            found += target["sequence"][: reader.poll()].tolist()
            seen += reader.notice_count
        assert (found, seen) == (expected, int(oldest))


def test_now_keeps_an_event_whose_ticks_are_still_to_come(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    lane.write_ticks(10)
    lane.write_event(ahead=5)
    ticks, events = bench.segments[0]
    target = np.zeros(256, layout.tick_dtype)
    reader = StreamReader(target, bench.bell_segment.mapping)
    reader.add(0, ticks.mapping, events.mapping)
    lane.write_ticks(9)
    assert target["sequence"][: reader.poll()].tolist() == [11, 12, 13, 14, 15]
    assert reader.notice_count == 1


def test_oldest_of_a_full_stream_leaves_room_for_the_writer(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(30):
        bench.lanes[0].write_ticks(200)
    ticks, events = bench.segments[0]
    target = np.zeros(2048, layout.tick_dtype)
    reader = StreamReader(target, bench.bell_segment.mapping)
    reader.add(0, ticks.mapping, events.mapping, oldest=True)
    bench.lanes[0].write_ticks(20)
    count = reader.poll()
    assert reader.notice_count == 0
    assert CAPACITY // 2 < count < CAPACITY


def test_views_are_the_newer_half_and_tell_when_they_were_overwritten(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    for _ in range(4):
        lane.write_ticks(200)
    sequence, count = bench.reader.view(0)
    assert count == 0
    ((kind, _, start, lost, _),) = bench.reader.notices()
    assert (kind, start) == (NoticeKind.NOTICE_TICKS_LOST, 1)
    sequence, count = bench.reader.view(0)
    assert sequence == 1 + lost
    assert sequence + count == 801
    assert lane.ticks.records["sequence"][sequence % CAPACITY] == sequence
    assert bench.reader.view_lost(0, sequence, count) == 0
    lane.write_ticks(200)
    lane.write_ticks(200)
    lane.write_ticks(200)
    assert bench.reader.view_lost(0, sequence, count) == 1201 + 256 - CAPACITY - sequence
    for _ in range(4):
        lane.write_ticks(200)
    assert bench.reader.view_lost(0, sequence, count) == count


def test_a_view_ends_at_the_end_of_the_ring(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lane = bench.lanes[0]
    seen = 1
    for _ in range(30):
        lane.write_ticks(150)
        while True:
            sequence, count = bench.reader.view(0)
            if not count:
                break
            assert sequence == seen
            assert sequence % CAPACITY + count <= CAPACITY
            seen += count
    assert seen == 1 + 30 * 150


def test_a_wait_ends_at_news_at_a_timeout_and_at_a_stop(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2)
    assert bench.reader.wait(1_000_000) == ReaderWait.WAIT_OVER
    bench.lanes[1].write_ticks(1)
    assert bench.reader.wait(10**9) == ReaderWait.WAIT_NEWS
    assert bench.reader.wait(0, 0) == ReaderWait.WAIT_OVER
    assert bench.reader.wait(0, 1) == ReaderWait.WAIT_NEWS
    bench.reader.poll()
    bench.reader.stop()
    assert bench.reader.wait(10**9) == ReaderWait.WAIT_STOPPED
    assert bench.reader.stopped


@pytest.mark.parametrize("spin_ns", [0, 200_000])
def test_a_sleeping_reader_is_woken_by_the_bell(tmp_path: Path, spin_ns: int) -> None:
    bench = Bench(tmp_path, spin_ns=spin_ns)
    bell = bench.bell_segment.record("BellC")

    def write() -> None:
        deadline = time.monotonic() + 30
        while not bell["sleepers"] and time.monotonic() < deadline:
            time.sleep(0.001)
        bench.lanes[0].write_ticks(1)
        bench.bell.ring()

    thread = threading.Thread(target=write)
    thread.start()
    deadline = time.monotonic() + 30
    while (found := bench.reader.wait(10**8)) == ReaderWait.WAIT_OVER:
        assert time.monotonic() < deadline
    thread.join()
    assert found == ReaderWait.WAIT_NEWS
    assert bench.reader.poll() == 1
    assert int(bell["rings"]) == 1


def test_a_wait_lets_a_signal_s_handler_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                bench.reader.wait(10**9)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_thread_at_a_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    thread = threading.Thread(target=lambda: bench.reader.wait(10**8))
    thread.start()
    refused = False
    while thread.is_alive() and not refused:
        try:
            bench.reader.poll()
        except RuntimeError as error:
            refused = "another thread" in str(error)
    thread.join()
    assert refused
    assert bench.reader.poll() == 0


def test_a_forked_child_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            bench.reader.poll()
        except RuntimeError as error:
            os._exit(0 if "attach again in the child" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_connections_come_and_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 3)
    with pytest.raises(ValueError, match="being read already"):
        bench.reader.add(1, *(s.mapping for s in bench.segments[1]))
    for lane in bench.lanes:
        lane.write_ticks(5)
    bench.reader.remove(0)
    assert bench.reader.connections == [1, 2]
    assert bench.reader.poll() == 10
    bench.reader.add(0, *(s.mapping for s in bench.segments[0]), oldest=True)
    assert bench.reader.poll() == 5
    assert int(bench.record["cursor_count"]) == 4
    with pytest.raises(KeyError):
        bench.reader.remove(9)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bell = bench.bell_segment.mapping
    with pytest.raises(ValueError, match="tick_dtype"):
        StreamReader(np.zeros(512), bell)
    with pytest.raises(ValueError, match="256 or more"):
        StreamReader(np.zeros(8, layout.tick_dtype), bell)
    with pytest.raises(ValueError, match="no tick stream fits"):
        bench.reader.add(7, bell, bell)
    readonly = Segment.attach(bench.bell_segment.path, specs.bell().kind)
    with pytest.raises(ValueError, match="read-only"):
        StreamReader(bench.target, readonly.mapping)


def test_the_latest_table_is_copied_slot_by_slot(tmp_path: Path) -> None:
    latest = Segment.create(tmp_path / "latest", specs.latest(0, slots=4), instance_id=ID)
    cells = latest.records("LatestSlotC", 4)
    cells["head"]["version"][2] = 5
    cells["copy"]["sequence"][2] = [11, 12]
    out = np.zeros(3, layout.tick_dtype)
    copy_latest(
        latest.mapping, np.array([2, 1], np.uint32), np.array([2, 0], np.int64),
        out.view(np.uint8).reshape(3, -1),
    )  # fmt: skip
    assert out["sequence"].tolist() == [0, 0, 12]
    with pytest.raises(ValueError, match="out of range"):
        copy_latest(
            latest.mapping, np.array([4], np.uint32), np.array([0], np.int64),
            out.view(np.uint8).reshape(3, -1),
        )  # fmt: skip
