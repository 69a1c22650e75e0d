"""When a decoder rings for readers: at once, seldom in a backlog, always before it rests."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pipeline.core.enums import SegmentKind
from pipeline.shm.names import INSTANCE_BELL
from tests.feed.lane_rig import TOKENS, LaneRig, frame, ltp_packet

A_SECOND_NS = 1_000_000_000
RING_NS = 250_000  # LANE_RING_NS of lane.h
FRAMES = 20_000


@pytest.fixture
def rig(tmp_path: Path) -> LaneRig:
    return LaneRig(tmp_path, frame_records=2 * FRAMES, frame_bytes=4 << 20, tick_records=1 << 16)


def bell_record(rig: LaneRig) -> dict[str, int]:
    record = rig.segment(SegmentKind.BELL, INSTANCE_BELL).record("BellC")
    return {name: int(record[name]) for name in ("word", "sleepers", "rings")}


def test_whatever_was_published_was_rung_for_when_a_run_ends(rig: LaneRig) -> None:
    decoder, _ = rig.decoder()
    for number in range(50):  # most of them come sooner after the last ring than a backlog's would
        rig.send(frame([ltp_packet(TOKENS[0], 10_000 + number)]))
        rig.sleeper()
        before = bell_record(rig)
        decoder.run(A_SECOND_NS, until_idle=True)
        after = bell_record(rig)
        assert len(rig.ticks()) == number + 1
        assert after["sleepers"] == 0 and after["word"] == before["word"] + 1


def test_a_run_that_ends_in_the_middle_of_a_backlog_owes_nothing(rig: LaneRig) -> None:
    decoder, _ = rig.decoder()
    for number in range(FRAMES):
        rig.send(frame([ltp_packet(TOKENS[number % len(TOKENS)], 10_000)]))
    done = 0
    while decoder.has_work:
        rig.sleeper()
        units = decoder.run(1000)  # one round, then the time is over
        assert units > 0 and bell_record(rig)["sleepers"] == 0
        done += units
    assert done == FRAMES == len(rig.ticks())


def test_a_decoder_that_sleeps_owes_nothing(rig: LaneRig) -> None:
    decoder, _ = rig.decoder()
    large = frame([ltp_packet(token, 10_000) for token in TOKENS] * 3)
    told, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(0.001):
            if not bell_record(rig)["sleepers"]:
                told.set()

    watcher = threading.Thread(target=watch)
    rig.sleeper()
    watcher.start()
    for _ in range(5):  # what is told at once, as 250 us have passed, shows nothing
        rig.send(frame([ltp_packet(TOKENS[0], 10_000)]))
        decoder.run(A_SECOND_NS, until_idle=True)
        rig.send(large)
        rig.sleeper()
        told.clear()
        decoder.run(A_SECOND_NS // 2)
        was_told_before_the_end = told.is_set()
        if not was_told_before_the_end:
            break
    over.set()
    watcher.join()
    assert was_told_before_the_end


def test_a_backlog_wakes_a_reader_that_sleeps_again_and_again_no_more_than_it_must(
    rig: LaneRig,
) -> None:
    decoder, _ = rig.decoder()
    for number in range(FRAMES):
        rig.send(frame([ltp_packet(TOKENS[number % len(TOKENS)], 10_000)]))
    over = threading.Event()

    def sleep_again() -> None:
        while not over.is_set():
            rig.sleeper()

    rig.sleeper()  # the thread may have its first turn when all is over
    sleeper = threading.Thread(target=sleep_again)
    before = bell_record(rig)["rings"]
    began_ns = time.monotonic_ns()
    sleeper.start()
    assert decoder.run(60 * A_SECOND_NS, until_idle=True) == FRAMES
    took_ns = time.monotonic_ns() - began_ns
    over.set()
    sleeper.join()
    # One for each span that has passed, one at the beginning, and two at the end.
    assert 1 <= bell_record(rig)["rings"] - before <= took_ns // RING_NS + 3
    assert len(rig.ticks()) == FRAMES
