"""Naps: a waiter wakes up by itself while rings keep coming, and only then."""

from __future__ import annotations

import ctypes
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext.cells import Bell
from ext.streams import ReaderWait
from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from tests.ext.native_build import build
from tests.ext.stream_bench import Bench
from tests.feed.lane_rig import LaneRig

US = 1000
MS = 1_000_000
A_SECOND_NS = 1000 * MS
NAP = 100 * US
LONG = 100 * MS  # what a reader and a decoder wait at most


class Naps:
    """One waiter's, with a clock of its own."""

    def __init__(self, nap_ns: int = NAP) -> None:
        self.library = ctypes.CDLL(str(build("naps_library", "library")))
        self.library.proof_slice.restype = ctypes.c_int64
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


def test_the_longest_nap_is_taken_as_well() -> None:
    naps = Naps(5 * MS)
    naps.ring_each(18 * MS)
    assert naps.slice() == 5 * MS


def test_one_ring_tells_of_no_others(naps: Naps) -> None:
    naps.ring_each(5 * MS, 1)
    assert naps.slice() == LONG


@pytest.mark.parametrize("gap_ns", [NAP * 4, MS, 5 * MS, 18 * MS])
def test_it_naps_while_rings_keep_coming(naps: Naps, gap_ns: int) -> None:
    naps.ring_each(gap_ns)
    for after_ns in (0, gap_ns, 7 * gap_ns):
        assert naps.slice(after_ns=after_ns) == NAP
    assert naps.slice(NAP // 2) == NAP // 2, "never longer than it may wait"


def test_it_sleeps_when_they_have_ceased(naps: Naps) -> None:
    naps.ring_each(5 * MS)
    assert naps.slice(after_ns=7 * 5 * MS) == NAP
    assert naps.slice(after_ns=9 * 5 * MS) == LONG


@pytest.mark.parametrize("gap_ns", [US, 50 * US, 150 * US, 250 * US])
def test_no_timer_where_rings_come_about_as_often_as_naps(naps: Naps, gap_ns: int) -> None:
    """250 us is the pace of a backlog, when cores are scarce."""
    naps.ring_each(gap_ns, 20 * MS // gap_ns)
    assert naps.slice() == LONG


@pytest.mark.parametrize("gap_ns", [25 * MS, 333 * MS, 1000 * MS])
def test_rare_rings_find_it_asleep(naps: Naps, gap_ns: int) -> None:
    naps.ring_each(gap_ns)
    assert naps.slice() == LONG


@pytest.mark.parametrize("at_once", [2, 3, 6, 12])
def test_feeds_that_ring_at_once_are_no_flood_and_no_silence(naps: Naps, at_once: int) -> None:
    """Sixty times a second, 30 us apart."""
    for _ in range(60):
        naps.ring_each(16 * MS, 1)
        naps.ring_each(30 * US, at_once - 1)
    for after_ns in (0, 8 * MS, 16 * MS):
        assert naps.slice(after_ns=after_ns) == NAP


@pytest.mark.parametrize("connections", [1, 3, 12, 48])
def test_heartbeats_that_beat_together_find_it_asleep(naps: Naps, connections: int) -> None:
    for _ in range(20):
        naps.ring_each(999 * MS, 1)
        naps.ring_each(20 * US, connections - 1)
        assert naps.slice() == LONG


def test_a_night_is_forgotten_within_twenty_ticks(naps: Naps) -> None:
    naps.ring_each(5 * MS)
    naps.ring_each(12 * 3600 * 1000 * MS, 1)
    assert naps.slice() == LONG
    naps.ring_each(5 * MS, 20)
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


# ---- who waits ----------------------------------------------------------------------------------

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts the sleeps of a thread")


def sleeps() -> int:
    """How often this thread has gone to sleep."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


@contextmanager
def each_5_ms(ring: Callable[[], object]) -> Iterator[None]:
    over = threading.Event()

    def keep_ringing() -> None:
        while not over.wait(0.005):
            ring()

    ringer = threading.Thread(target=keep_ringing)
    ringer.start()
    try:
        yield
    finally:
        over.set()
        ringer.join()


def sleeps_of_a_reader(bench: Bench, rings: int = 40) -> int:
    """Return how often it slept in waiting for ticks that came every 5 ms."""

    def write() -> None:
        bench.lanes[0].write_ticks(1)
        bench.bell.ring()

    with each_5_ms(write):
        before = 0
        for number in range(rings + 40):
            if number == 40:  # by then it knows its rings
                before = sleeps()
            while bench.reader.wait(10**9) == ReaderWait.WAIT_OVER:
                pass
            bench.reader.poll()
        return sleeps() - before


@linux_only
def test_a_reader_with_naps_wakes_between_ticks_and_sleeps_when_they_cease(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "naps", nap_ns=NAP)
    napping = sleeps_of_a_reader(bench)
    # Thirty and one for each tick, of a machine with nothing else to do.
    assert napping > 2 * sleeps_of_a_reader(Bench(tmp_path / "none"))
    for _ in range(10):
        bench.reader.wait(10**8)  # the ticks that were still under way, and eight gaps of silence
        bench.reader.poll()
    before = sleeps()
    for _ in range(5):
        assert bench.reader.wait(20 * MS) == ReaderWait.WAIT_OVER
    assert sleeps() - before <= 2 * 5


@linux_only
def test_a_decoder_with_naps_wakes_between_frames(tmp_path: Path) -> None:
    counts = []
    for nap_ns in (NAP, 0):
        folder = tmp_path / str(nap_ns)
        folder.mkdir()
        rig = LaneRig(folder)
        decoder, _ = rig.decoder(nap_ns=nap_ns)
        bell = Bell(rig.segment(SegmentKind.BELL).mapping, layout.data_offset)
        with each_5_ms(bell.ring):
            decoder.run(A_SECOND_NS // 20)  # until it knows its rings: five times as long when idle
            before = sleeps()
            decoder.run(A_SECOND_NS // 20)
            counts.append(sleeps() - before)
    assert counts[0] > 2 * counts[1]


@pytest.mark.parametrize("nap_ns", [-1, 5_000_001, 5 * 10**18])
def test_a_nap_that_is_none_is_refused(tmp_path: Path, nap_ns: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 5000000"):
        Bench(tmp_path / "reader", nap_ns=nap_ns)
    with pytest.raises(ValueError, match="expected 0 to 5000000"):
        LaneRig(tmp_path).decoder(nap_ns=nap_ns)
