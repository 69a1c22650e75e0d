"""The compiled reader under any schedule and beside a writing process: order, and exact losses."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ext.streams import (
    NoticeKind,
    ReaderPolicy,
)
from tests.ext.stream_bench import Bench
from tests.strategy.writer import are_whole

# ---- any schedule of writers and one reader ------------------------------------------------------


class Ledger:
    """Checks one connection's deliveries against what its writer did."""

    def __init__(self, first: int) -> None:
        self.expected = first
        self.event = 0
        self.places: list[int] = []
        self.lost = 0
        self.newest_delivered = first - 1

    def take_ticks(self, sequences: list[int]) -> None:
        assert sequences == list(range(self.expected, self.expected + len(sequences)))
        self.expected += len(sequences)
        if sequences:
            self.newest_delivered = self.expected - 1

    def take_notice(
        self, kind: int, sequence: int, lost: int, event: dict[str, int] | None
    ) -> None:
        if kind == NoticeKind.NOTICE_TICKS_LOST:
            assert sequence == self.expected
            self.expected += lost
            self.lost += lost
            return
        assert sequence == self.event
        if kind == NoticeKind.NOTICE_EVENTS_LOST:
            self.event += lost
            return
        assert event is not None
        place = self.places[sequence]
        assert event["tick_sequence"] == place
        assert self.newest_delivered < place <= self.expected
        self.event += 1


STEPS = st.lists(
    st.tuples(st.sampled_from("tttterrw"), st.integers(0, 2), st.integers(1, 256)), max_size=120
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, room=st.integers(256, 900), policy=st.sampled_from(list(ReaderPolicy)))
def test_any_schedule_keeps_order_and_counts_losses(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int, int]],
    room: int,
    policy: ReaderPolicy,
) -> None:
    first = 2**32 - 1000
    bench = Bench(tmp_path_factory.mktemp("s"), 3, room=room, policy=policy, first=first)
    ledgers = [Ledger(first) for _ in bench.lanes]

    def read() -> bool:
        count = bench.reader.poll()
        assert are_whole(bench.target[:count])
        for number, ledger in enumerate(ledgers):
            chosen = bench.target["connection"][:count] == number
            ledger.take_ticks(bench.target["sequence"][:count][chosen].tolist())
        notices = bench.reader.notices()
        for kind, connection, sequence, lost, event in notices:
            ledgers[connection].take_notice(kind, sequence, lost, event)
        return bool(count or notices)

    for action, number, size in steps:
        lane = bench.lanes[number]
        if action == "t":
            lane.write_ticks(size)
        elif action == "e":
            for _ in range(size % 4):
                ledgers[number].places.append(lane.write_event())
        elif action == "w":  # one unit with an event inside, published events first
            pending = lane.make_ticks(size)
            lane.ticks.write(pending)
            ledgers[number].places.append(lane.write_event(ahead=size // 2))
            read()
            lane.ticks.publish(size)
        else:
            read()
    while read():
        pass
    for lane, ledger, row in zip(bench.lanes, ledgers, bench.record["cursors"], strict=False):
        assert ledger.expected == lane.ticks.tail == int(row["cursor"])
        assert ledger.event == lane.events.tail
        assert int(row["lost"]) == ledger.lost
        assert int(row["delivered"]) + ledger.lost == lane.ticks.tail - first


# ---- two processes -------------------------------------------------------------------------------

_WRITER = """
import random, sys
from pathlib import Path
from ext.cells import Bell
from pipeline.core import layout
from pipeline.core.enums import SegmentKind
from pipeline.shm.segment import Segment
from tests.strategy.writer import LaneWriter
folder, seed, total = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
attach = lambda name, kind: Segment.attach(folder / name, kind, writable=True)
bell = Bell(attach("bell", SegmentKind.BELL).mapping, layout.data_offset)
lane = LaneWriter(attach("t0", SegmentKind.TICKS), attach("e0", SegmentKind.EVENTS))
rng, written = random.Random(seed), 0
while written < total:
    count = min(rng.choice((1, 7, 100, 256)), total - written)
    if rng.random() < 0.05:
        lane.write_event()
    lane.write_ticks(count)
    written += count
    bell.ring()
"""


def _read_beside_a_writer(folder: Path, total: int, seed: int) -> tuple[int, int]:
    """Return (delivered, lost); the writer never waits, so both happen."""
    bench = Bench(folder, room=700)
    ledger = Ledger(1)
    script = [sys.executable, "-c", _WRITER, str(folder), str(seed), str(total)]
    rng = random.Random(seed)
    with subprocess.Popen(script, cwd=Path(__file__).parents[2]) as writer:
        deadline = time.monotonic() + 100
        while ledger.expected < total + 1:
            assert time.monotonic() < deadline
            count = bench.reader.poll()
            assert are_whole(bench.target[:count])
            sequences = bench.target["sequence"][:count]
            if count:
                assert int(sequences[0]) == ledger.expected
                assert bool(np.all(np.diff(sequences) == 1))
                ledger.expected += count
                ledger.newest_delivered = ledger.expected - 1
            for kind, _, sequence, lost, event in bench.reader.notices():
                if event is not None:
                    assert sequence == ledger.event
                    assert ledger.newest_delivered < event["tick_sequence"] <= ledger.expected
                    ledger.event += 1
                else:
                    ledger.take_notice(kind, sequence, lost, event)
            if not count and not bench.reader.notice_count:
                bench.reader.wait(10**7)
            elif rng.random() < 0.001:
                time.sleep(0.002)  # be lapped now and then
        assert writer.wait(timeout=30) == 0
    row = bench.record["cursors"][0]
    assert int(row["delivered"]) + int(row["lost"]) == total
    assert int(row["lost"]) == ledger.lost
    return int(row["delivered"]), ledger.lost


def test_two_processes_lose_only_what_is_counted(tmp_path: Path) -> None:
    delivered, _ = _read_beside_a_writer(tmp_path, 400_000, seed=20)
    assert delivered > 0


@pytest.mark.full
@pytest.mark.parametrize("seed", range(4))
def test_two_processes_for_long(tmp_path: Path, seed: int) -> None:
    delivered, lost = _read_beside_a_writer(tmp_path, 8_000_000, seed)
    assert delivered > 0
    assert lost > 0
