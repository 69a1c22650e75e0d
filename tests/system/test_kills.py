"""kill -9 at random instants under load: of the decoder nothing is lost, of a feed one gap.

The verdict is the exchange's truth log against what a strategy process of its own has logged.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.enums import Reason, SegmentKind
from pipeline.shm.pages import StatusPage
from tests.system.judge import Witness, judge, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]

#: A frame of all its instruments every 10 ms on each connection: with 100 of them 30,000 ticks/s.
LOAD = 'rate = "max"\ninterval_s = 0.01'
RINGS = "packets_per_instrument_per_s = 100.0\ntick_records = 65536"
#: Promised in seconds, so demanded in seconds.
BACK_S_MAX = 1.5
#: So much that many kills hit a decoder at work; never more than the strategy has read.
HEAVY_LOAD = 'mode = "load"\nrate = 400000\npackets_per_frame = 100\ngate = "witness"'
HEAVY_RINGS = "packets_per_instrument_per_s = 400.0\nseconds = 1.0\ntick_records = 32768"


def commits(run: Run) -> int:
    """Return how many units the decoders have committed."""
    return int(StatusPage(run.attach(SegmentKind.DECODER_STATUS)).record["commits"])


def descriptors(run: Run) -> list[int]:
    """Return how many files the processes hold open that see all the deaths."""
    assert run.process is not None
    pids = (run.process.pid, run.pid("simulator"))
    return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]


def show(what: str, seconds: list[float]) -> None:
    """Print a distribution; figures are for people, nothing is asserted about them."""
    p50, p99, most = np.quantile(seconds, [0.5, 0.99, 1.0]) * 1e3
    print(f"{what}, {len(seconds)} times: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms")


def kill_decoder(run: Run) -> float:
    """Kill it, wait for the next tick that is published; return the seconds in between."""
    pid, tails = run.pid("decoder 0"), [run.tick_tail(n) for n in range(3)]
    began = time.monotonic()
    run.kill("decoder 0")
    wait_for(lambda: run.pid("decoder 0") not in (0, pid), "a successor")
    before = commits(run)
    wait_for(lambda: commits(run) > before, "the successor to publish")
    assert tails <= [run.tick_tail(n) for n in range(3)]
    return time.monotonic() - began


def kill_decoders(run: Run, source: random.Random, kills: int) -> None:
    """Kill the decoder so often; nothing may be lost, doubled or torn, and no counter off."""
    witness = Witness(run)
    run.start_and_wait()
    open_before = descriptors(run)
    seconds, began = [], time.monotonic()
    for _ in range(kills):
        time.sleep(source.uniform(0, 0.03))
        seconds.append(kill_decoder(run))
    lasted_s = time.monotonic() - began
    run_dry(run, witness)
    wait_for(lambda: descriptors(run) == open_before, f"{open_before} descriptors, not more")
    assert run.stop() == 0
    witness.finish()
    verdict = judge(run, witness)
    assert verdict.lost == 0 and witness.told("Gap") == witness.told("Overrun") == []
    show("decoder killed to next commit", seconds)
    print(f"{verdict.sent:,} ticks sent in {lasted_s:.1f} s, 0 lost, 0 doubled, 0 torn")
    run.assert_nothing_left()


def test_a_killed_decoder_loses_and_doubles_nothing(make_run: Make, seed: int) -> None:
    kill_decoders(make_run(simulator=LOAD, rings=RINGS), random.Random(seed), 10)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_two_hundred_killed_decoders(make_run: Make, seed: int) -> None:
    run = make_run(count=300, simulator=HEAVY_LOAD, rings=HEAVY_RINGS)
    kill_decoders(run, random.Random(seed), 200)


def kill_feed(run: Run, connection: int) -> float:
    """Kill it, wait until its tokens and modes are back; return the seconds in between."""
    epoch = int(run.page(connection)["connection_epoch"])
    began = time.monotonic()
    run.kill(f"feed {connection}")
    wait_for(
        lambda: (
            int(run.page(connection)["connection_epoch"]) > epoch and run.is_complete(connection)
        ),
        "all tokens and modes to be back",
    )
    return time.monotonic() - began


def kill_feeds(make_run: Make, source: random.Random, kills: int) -> list[float]:
    """Kill two of three feeds in turn: one gap each, and the third loses nothing.

    Return how many seconds each took to be back.
    """
    run = make_run(simulator=LOAD, rings=RINGS)
    witness = Witness(run)
    run.start_and_wait()
    open_before = descriptors(run)
    seconds = []
    for number in range(kills):
        time.sleep(source.uniform(0.1, 0.3))
        seconds.append(kill_feed(run, number % 2))
    run_dry(run, witness)
    wait_for(lambda: descriptors(run) == open_before, f"{open_before} descriptors, not more")
    assert run.stop() == 0
    witness.finish()
    for connection, times in enumerate([(kills + 1) // 2, kills // 2, 0]):
        assert witness.gap_reasons(connection) == [Reason.PROCESS_KILLED] * times
    verdict = judge(run, witness)
    show("feed killed to all tokens and modes confirmed", seconds)
    print(f"{verdict.sent:,} ticks sent, {verdict.lost:,} lost inside the {kills} gaps")
    run.assert_nothing_left()
    return seconds


def test_a_killed_feed_is_one_gap_and_the_others_lose_nothing(make_run: Make, seed: int) -> None:
    seconds = kill_feeds(make_run, random.Random(seed), 3)
    assert min(seconds) < BACK_S_MAX, "of a few on a busy machine only the best tells anything"


@pytest.mark.full
@pytest.mark.timeout(300)
def test_thirty_killed_feeds(make_run: Make, seed: int) -> None:
    seconds = kill_feeds(make_run, random.Random(seed), 30)
    assert float(np.quantile(seconds, 0.99)) < BACK_S_MAX
