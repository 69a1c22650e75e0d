"""Naps: a waiter wakes up by itself while rings keep coming, and only then."""

from __future__ import annotations

import ctypes
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.streams import ReaderWait
from tests.ext.native_build import build
from tests.ext.stream_bench import Bench

US = 1000
MS = 1_000_000
NAP = 100 * US
LONG = 100 * MS  # what a reader and a decoder wait at most


class Naps:
    """One waiter's, with a clock of its own."""

    def __init__(self, nap_ns: int = NAP) -> None:
        self.library = ctypes.CDLL(str(build("naps_library", "library")))
        self.library.proof_slice.restype = ctypes.c_int64
        self.library.proof_gap_ns_max.restype = ctypes.c_int64
        self.library.proof_gaps_max.restype = ctypes.c_int64
        self.state = (ctypes.c_int64 * (self.library.proof_naps_bytes() // 8))(nap_ns)
        self.now = 1_000_000 * MS

    def ring_each(self, gap_ns: int, count: int = 60) -> None:
        for _ in range(count):
            self.now += gap_ns
            self.library.proof_note_ring(self.state, ctypes.c_int64(self.now))

    def slice(self, left_ns: int = LONG, *, after_ns: int = 0) -> int:
        """What it sleeps at once, so long after the last ring."""
        now = ctypes.c_int64(self.now + after_ns)
        return int(self.library.proof_slice(self.state, now, ctypes.c_int64(left_ns)))


@pytest.fixture
def naps() -> Naps:
    return Naps()


def test_a_waiter_that_was_never_rung_for_sleeps(naps: Naps) -> None:
    assert naps.slice() == LONG


@pytest.mark.parametrize("gap_ns", [NAP * 2, MS, 5 * MS, 18 * MS])
def test_it_naps_while_rings_keep_coming(naps: Naps, gap_ns: int) -> None:
    naps.ring_each(gap_ns)
    for after_ns in (0, gap_ns, 7 * gap_ns):
        assert naps.slice(after_ns=after_ns) == NAP
    assert naps.slice(NAP // 2) == NAP // 2, "never longer than it may wait"


def test_it_sleeps_when_they_have_ceased(naps: Naps) -> None:
    naps.ring_each(5 * MS)
    assert naps.slice(after_ns=naps.library.proof_gaps_max() * 5 * MS + MS) == LONG


@pytest.mark.parametrize("gap_ns", [US, 50 * US, 150 * US])
def test_no_timer_where_rings_come_as_fast_as_naps(naps: Naps, gap_ns: int) -> None:
    naps.ring_each(gap_ns)
    assert naps.slice() == LONG


@pytest.mark.parametrize("gap_ns", [25 * MS, 333 * MS, 1000 * MS])
def test_heartbeats_alone_find_it_asleep(naps: Naps, gap_ns: int) -> None:
    naps.ring_each(gap_ns)
    assert naps.slice() == LONG


def test_rings_of_three_feeds_at_once_are_not_taken_for_a_flood(naps: Naps) -> None:
    for _ in range(60):
        naps.ring_each(16 * MS, 1)
        naps.ring_each(30 * US, 2)
    assert naps.slice() == NAP


def test_a_night_is_forgotten_within_half_a_second_of_ticks(naps: Naps) -> None:
    naps.ring_each(5 * MS)
    naps.ring_each(12 * 3600 * 1000 * MS, 1)
    naps.ring_each(5 * MS, 100)
    assert naps.slice() == NAP


@given(
    gaps=st.lists(st.integers(0, 10**15), max_size=50),
    after_ns=st.integers(0, 10**15),
    left_ns=st.integers(1, LONG),
)
def test_a_slice_is_a_nap_or_all_that_is_left(gaps: list[int], after_ns: int, left_ns: int) -> None:
    naps = Naps()
    for gap_ns in gaps:
        naps.ring_each(gap_ns, 1)
    assert naps.slice(left_ns, after_ns=after_ns) in (left_ns, min(NAP, left_ns))


# ---- a reader that waits ------------------------------------------------------------------------


def sleeps() -> int:
    """How often this thread has gone to sleep."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def rung_each_5_ms(bench: Bench, rings: int) -> int:
    """Return how often a reader slept in waiting for ticks that came every 5 ms."""
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.005):
            bench.lanes[0].write_ticks(1)
            bench.bell.ring()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):  # until it knows its rings
            bench.reader.wait(10**9)
            bench.reader.poll()
        before = sleeps()
        for _ in range(rings):
            while bench.reader.wait(10**9) == ReaderWait.WAIT_OVER:
                pass
            bench.reader.poll()
        return sleeps() - before
    finally:
        over.set()
        writer.join()


def test_a_reader_with_naps_wakes_between_ticks_and_none_without(tmp_path: Path) -> None:
    rings = 40
    napping = rung_each_5_ms(Bench(tmp_path / "naps", nap_ns=NAP), rings)
    sleeping = rung_each_5_ms(Bench(tmp_path / "none"), rings)
    assert napping > 4 * rings, "it was to wake up some thirty times between two ticks"
    # Taking the interpreter's lock back from the writer may be a sleep, too.
    assert sleeping <= 3 * rings


def test_a_reader_with_naps_sleeps_when_ticks_have_ceased(tmp_path: Path) -> None:
    bench = Bench(tmp_path, nap_ns=NAP)
    rung_each_5_ms(bench, 10)
    for _ in range(10):
        bench.reader.wait(10**8)  # the ticks that were still under way, and eight gaps of silence
        bench.reader.poll()
    before = sleeps()
    for _ in range(5):
        assert bench.reader.wait(20 * MS) == ReaderWait.WAIT_OVER
    assert sleeps() - before <= 2 * 5
