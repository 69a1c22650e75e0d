"""As many malformed frames as good ones, live: the good ones all arrive, and nothing grows.

Garbage in every form that a decoder can step over: lying counts and lengths, unknown sizes,
trailing bytes, texts that are no messages. It must not cost a connection, a tick, memory or a log.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.services.status import snapshot
from pipeline.sim.truth import read_truth
from tests.system.judge import Array, Witness, control_of, judge, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]
STEP_S = 0.02
#: What memory may grow by; the rings are shared memory and not counted.
GROWTH_BYTES_MAX = 2 << 20
LINES_PER_S_MAX = 2
ROLES = ("feed 0", "feed 1", "feed 2", "decoder 0")
GARBAGE: tuple[tuple[str, dict[str, object]], ...] = (
    ("lying_count", {"by": 3}),
    ("lying_count", {"by": -1}),
    ("lying_length", {}),
    ("unknown_size", {}),
    ("trailing", {}),
)
PACKETS_PER_FRAME = 4  # of the good frames; a malformed one is logged with at most three
#: What the full count really has to reach of the rates that it promises, by the exchange's own log.
SHARE_MIN = 0.9
TRIES = 3  # on a machine that is busy with something else the exchange falls behind
TEXTS = ("json", "array", "number", "null", "nested", "unknown", "no_type", "no_data", "empty")


def private_bytes(pid: int) -> int:
    """Return the memory that is a process's own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no RssAnon of process {pid}")


class Handed(NamedTuple):
    """What the exchange says it has handed to the kernel, and when it said so."""

    mono_ns: int
    frames: int


class Rates(NamedTuple):
    """Frames a second that the exchange really sent, by its own clock."""

    good: float
    malformed: float


def handed(run: Run) -> Handed:
    """Ask the exchange how far it is."""
    with control_of(run) as control:
        told = control.command("stat")
    return Handed(told["now_mono_ns"], sum(client["frames"] for client in told["clients"]))


def rates(truth: Array, first: Handed, last: Handed) -> Rates:
    """Return what was sent between two looks; the good frames are those with all their packets."""
    inside = (truth["send_mono_ns"] > first.mono_ns) & (truth["send_mono_ns"] <= last.mono_ns)
    _, packets = np.unique(truth[["session", "frame"]][inside], return_counts=True)
    good = int((packets == PACKETS_PER_FRAME).sum())
    seconds = (last.mono_ns - first.mono_ns) / 1e9
    return Rates(good / seconds, (last.frames - first.frames - good) / seconds)


class Garbage:
    """Sends malformed frames at a rate, in turn on every connection."""

    def __init__(self, run: Run, source: random.Random, frames_per_s: int) -> None:
        self._control = control_of(run)
        self._source = source
        self._rate = frames_per_s
        self.sent = 0

    def send_for(self, seconds: float) -> None:
        """Keep the rate, as well as the machine lets us."""
        began = time.monotonic()
        before = self.sent
        while (now := time.monotonic() - began) < seconds:
            while self.sent - before < now * self._rate:
                self._send_some()
            time.sleep(STEP_S)

    def _send_some(self) -> None:
        connection = self._source.randrange(3)
        for action, parameters in GARBAGE:
            count = self._source.randint(10, 30)
            self._control.command(action, connection=connection, count=count, **parameters)
            self.sent += count
        self._control.command("bad_text", connection=connection, kind=self._source.choice(TEXTS))
        self.sent += 1

    def close(self) -> None:
        self._control.close()


def be_pelted(make_run: Make, source: random.Random, frames_per_s: int, seconds: float) -> Rates:
    """Send so many malformed and so many good frames a second for so long."""
    run = make_run(
        simulator=f'mode = "load"\npackets_per_frame = {PACKETS_PER_FRAME}\n'
        f"rate = {PACKETS_PER_FRAME * frames_per_s}",
        rings="packets_per_instrument_per_s = 200.0\ntick_records = 65536",
    )
    witness = Witness(run)
    run.start_and_wait()
    garbage = Garbage(run, source, frames_per_s)
    garbage.send_for(1.0)  # by then everybody has what memory it needs
    pids = [run.pid(name) for name in ROLES]
    before, lines = [private_bytes(pid) for pid in pids], count_lines(run)
    first, began = handed(run), time.monotonic()
    garbage.send_for(seconds)
    last = handed(run)
    wait_for(run.has_decoded_all, "the decoder to keep up")
    lasted = time.monotonic() - began
    growth = [private_bytes(pid) - was for pid, was in zip(pids, before, strict=True)]
    lines = count_lines(run) - lines
    garbage.close()
    assert [run.pid(name) for name in ROLES] == pids
    run_dry(run, witness)
    run.assert_balanced()
    counters = [connection.decode_counters for connection in snapshot(run.paths).connections]
    assert all(c["frames_short"] and c["frames_trailing"] for c in counters)
    assert all(c["packets_unknown_size"] for c in counters)
    assert run.stop() == 0
    witness.finish()
    verdict = judge(run, witness)
    assert verdict.lost == 0 and witness.told("Gap") == witness.told("Overrun") == []
    sent = rates(np.array(read_truth(run.folder / "truth.bin")), first, last)
    print(f"{sent.malformed:,.0f} malformed frames/s for {lasted:.0f} s, and texts")
    print(f"among {sent.good:,.0f} good frames/s")
    print(f"{verdict.sent:,} good ticks sent, 0 lost; memory grew by {max(growth):,} bytes at most")
    print(f"{lines} log lines in {lasted:.1f} s")
    assert max(growth) < GROWTH_BYTES_MAX
    assert lines <= LINES_PER_S_MAX * lasted
    run.assert_nothing_left()
    return sent


def count_lines(run: Run) -> int:
    """Return how many lines the run has logged."""
    return run.log.read_bytes().count(b"\n")


def test_malformed_frames_cost_nothing(make_run: Make, seed: int) -> None:
    sent = be_pelted(make_run, random.Random(seed), 1000, 3.0)
    assert sent.good > 0 and sent.malformed > 0


@pytest.mark.full
@pytest.mark.timeout(600)
def test_five_thousand_malformed_frames_a_second_cost_nothing(make_run: Make, seed: int) -> None:
    reached: list[Rates] = []
    while not reached or (min(reached[-1]) < SHARE_MIN * 5000 and len(reached) < TRIES):
        reached.append(be_pelted(make_run, random.Random(seed), 5000, 30.0))
    assert min(reached[-1]) >= SHARE_MIN * 5000, reached
