"""As many malformed frames as good ones, live: the good ones all arrive, and nothing grows.

Garbage in every form that a decoder can step over: lying counts and lengths, unknown sizes,
trailing bytes, texts that are no messages. It must not cost a connection, a tick, memory or a log.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.services.status import snapshot
from tests.system.judge import Witness, control_of, judge, run_dry
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
TEXTS = ("json", "array", "number", "null", "nested", "unknown", "no_type", "no_data", "empty")


def private_bytes(pid: int) -> int:
    """Return the memory that is a process's own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no RssAnon of process {pid}")


class Garbage:
    """Sends malformed frames at a rate, in turn on every connection."""

    def __init__(self, run: Run, source: random.Random, frames_per_s: int) -> None:
        self._control = control_of(run)
        self._source = source
        self._rate = frames_per_s
        self.sent = 0
        self.frames = 0

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
            self.frames += count
        self._control.command("bad_text", connection=connection, kind=self._source.choice(TEXTS))
        self.sent += 1

    def close(self) -> None:
        self._control.close()


def be_pelted(make_run: Make, source: random.Random, frames_per_s: int, seconds: float) -> None:
    """Send so many malformed and so many good frames a second for so long."""
    run = make_run(
        simulator=f'mode = "load"\npackets_per_frame = 2\nrate = {2 * frames_per_s}',
        rings="packets_per_instrument_per_s = 200.0\ntick_records = 65536",
    )
    witness = Witness(run)
    run.start_and_wait()
    garbage = Garbage(run, source, frames_per_s)
    garbage.send_for(1.0)  # by then everybody has what memory it needs
    pids = [run.pid(name) for name in ROLES]
    before, lines = [private_bytes(pid) for pid in pids], count_lines(run)
    began = time.monotonic()
    garbage.send_for(seconds)
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
    good = sum(c["frames_data"] for c in counters) - garbage.frames
    print(f"{garbage.sent / (lasted + 1):,.0f} malformed messages/s for {lasted + 1:.0f} s")
    print(f"among {good / (lasted + 1):,.0f} good frames/s")
    print(f"{verdict.sent:,} good ticks sent, 0 lost; memory grew by {max(growth):,} bytes at most")
    print(f"{lines} log lines in {lasted:.1f} s")
    assert max(growth) < GROWTH_BYTES_MAX
    assert lines <= LINES_PER_S_MAX * lasted
    run.assert_nothing_left()


def count_lines(run: Run) -> int:
    """Return how many lines the run has logged."""
    return run.log.read_bytes().count(b"\n")


def test_malformed_frames_cost_nothing(make_run: Make, seed: int) -> None:
    be_pelted(make_run, random.Random(seed), 1000, 3.0)


@pytest.mark.full
@pytest.mark.timeout(240)
def test_five_thousand_malformed_frames_a_second_cost_nothing(make_run: Make, seed: int) -> None:
    be_pelted(make_run, random.Random(seed), 5000, 30.0)
