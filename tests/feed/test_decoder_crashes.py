"""kill -9 at every crash point of a decoder: nothing lost, nothing twice, no counter off.

A process of the checked build decodes and dies at the n-th passage of a named point; this
process then opens the lane as the successor. Streams, latest table, events and counters must be
those of a decoder that never died.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ext.lanes import arm_crash, crash_points
from pipeline.core.enums import Reason, State
from tests.builds import build_root, environment
from tests.feed.lane_rig import TOKENS, LaneRig, frame, ltp_packet, quote_packet

#: One interpreter of the checked build visits all requested deaths, each in a fork of its own.
DECODE_AND_DIE = """
import os, sys
from pathlib import Path
from ext.lanes import arm_crash
from tests.feed.lane_rig import LaneRig

def decode(directory, point, passage, when):
    rig = LaneRig(Path(directory), attach=True)
    if when == "opening":
        assert arm_crash(point, passage)
        rig.decoder()
        return
    decoder, _ = rig.decoder()
    rig.sleeper()
    assert arm_crash(point, passage)
    decoder.run(10**9, until_idle=True)

for line in sys.stdin:
    directory, point, passage, when = line.split()
    child = os.fork()
    if child == 0:
        try:
            decode(directory, point, int(passage), when)
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

#: Points of the feed's side are visited by the frame ring's own tests.
POINTS = [p for p in crash_points() if not p.startswith("frame_")]
DECODING = [p for p in POINTS if not p.startswith("forward_")]
#: What a successor passes when it opens the lane, before its first unit.
OPENING = [
    p
    for p in POINTS
    if p.startswith(("latest_", "confirm_", "bell_", "forward_"))
    and p not in ("latest_after_all", "bell_after_ring")
]
#: The slots of the units that `fill` makes: 256 and 44 ticks, 1, 20, and 2 of another mode.
PASSAGES = [1, 2, 3, 4, 6, 9, 28, 150, 256, 310, 323]
KILLED = -9


def fill(rig: LaneRig) -> None:
    """Half of the instruments come from another decoder, each after a gap of its own."""
    left_ns = [rig.now - 10 * n * (n % 2) for n in range(len(TOKENS))]
    rig.assign(TOKENS, owner_epochs=2, left_mono_ns=[ns % rig.now for ns in left_ns])
    rig.state(State.SUBSCRIBING, Reason.CONNECTED)
    rig.send(frame([quote_packet(TOKENS[n % 7], 10_000 + n, 1000 + n) for n in range(300)]))
    rig.send(frame([quote_packet(TOKENS[0], 30_000, 5), ltp_packet(999, 1)]))
    rig.state(State.RECONNECTING, Reason.RESET)
    rig.send(b"\x00", epoch=2)
    rig.send(frame([quote_packet(TOKENS[n], 20_000 + n, 2000) for n in range(20)]), epoch=2)
    rig.send(frame([ltp_packet(TOKENS[n], 21_000 + n) for n in range(3)])[:-1], epoch=2)


def fields(records: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return every field's values, without the padding, which numpy does not copy."""
    assert records.dtype.names is not None
    return {name: records[name].tolist() for name in records.dtype.names}


def outcome(rig: LaneRig) -> dict[str, Any]:
    rig.check_balance()
    return {
        "ticks": fields(rig.ticks()),
        "events": fields(rig.events()),
        "counters": rig.counters(),
        "latest": [fields(rig.latest(token)) for token in TOKENS],
        "confirmed": fields(rig.confirmed()),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    rig = LaneRig(tmp_path_factory.mktemp("undisturbed"))
    fill(rig)
    rig.decoder()[0].run(10**9, until_idle=True)
    assert len(rig.ticks()) == 323
    assert rig.counters()["instrument_gaps_out"] == 10  # of 20 that tick
    return outcome(rig)


class Killer:
    """The checked build's process, and what it made of each request."""

    def __init__(self, script: str = DECODE_AND_DIE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script], env=environment(build_root("checked")),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def die_at(self, rig: LaneRig, point: str, passage: int, when: str = "decoding") -> int:
        """Let a decoder die there, decoding or opening; return its exit code (0: not reached)."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(rig.directory, point, passage, when, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=30)


#: A reader that has looked at the tails and lies down on the instance's bell.
LIE_DOWN = """
import sys
from pathlib import Path
from tests.feed.lane_rig import LaneRig

bell = LaneRig(Path(sys.argv[1]), attach=True).reader_bell()
seen = bell.look()
print("lies down", flush=True)
print(bell.sleep(seen, 3600 * 10**9), flush=True)
"""


class Sleeper:
    """A process that sleeps for an hour, or until it is rung."""

    def __init__(self, rig: LaneRig) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIE_DOWN, str(rig.directory)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        assert self.output.readline() == "lies down\n"
        # It has one thread and no other reason to wait.
        deadline = time.monotonic() + 30
        while not self.is_asleep():
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def is_asleep(self) -> bool:
        """Return whether it waits in the kernel."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_SLEEPING

    def was_rung(self) -> bool:
        """Wait for it to wake up and end; return whether it was for the bell."""
        return self.output.readline() == "True\n" and self.process.wait(30) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.close()


@pytest.mark.parametrize("passage", PASSAGES)
@pytest.mark.parametrize("point", DECODING)
def test_a_death_at_a_named_point_leaves_no_trace(
    point: str, passage: int, tmp_path: Path, undisturbed: dict[str, Any], killer: Killer
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    returncode = killer.die_at(rig, point, passage)
    assert returncode == KILLED or (returncode == 0 and passage > 1), f"{point} was never passed"
    rig.decoder()[0].run(10**9, until_idle=True)
    assert outcome(rig) == undisturbed


@pytest.mark.parametrize("before", [("commit_after_flip", 2), ("latest_after_copy", 305)])
@pytest.mark.parametrize("passage", [1, 2, 5, 17])
@pytest.mark.parametrize("point", OPENING)
def test_a_death_while_rolling_forward_leaves_no_trace(
    point: str,
    passage: int,
    before: tuple[str, int],
    tmp_path: Path,
    undisturbed: dict[str, Any],
    killer: Killer,
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    assert killer.die_at(rig, *before) == KILLED
    returncode = killer.die_at(rig, point, passage, "opening")
    assert returncode == KILLED or (returncode == 0 and passage > 1), f"{point} was never passed"
    rig.decoder()[0].run(10**9, until_idle=True)
    assert outcome(rig) == undisturbed


@pytest.mark.parametrize("when", ["opening", "decoding"])
@pytest.mark.parametrize("point", [p for p in OPENING if p.startswith("bell_")])
def test_a_reader_asleep_at_a_death_is_woken_by_the_successor(
    point: str, when: str, tmp_path: Path, killer: Killer
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    # A decoder that will die decoding rings at its start; so that reader lies down after the
    # death, with its mark wiped, as one does that slept through it.
    sleeper = Sleeper(rig) if when == "opening" else None
    assert killer.die_at(rig, point, 1, when) == KILLED
    sleeper = sleeper or Sleeper(rig)
    try:
        assert sleeper.is_asleep()
        rig.decoder()  # opening the lane is enough: no frame need come
        assert sleeper.was_rung()
    finally:
        sleeper.close()


def test_a_chain_of_deaths_leaves_no_trace(
    tmp_path: Path, undisturbed: dict[str, Any], killer: Killer
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    for point in DECODING:
        assert killer.die_at(rig, point, 1) in (KILLED, 0)
    for point in OPENING:
        assert killer.die_at(rig, point, 1, "opening") in (KILLED, 0)
    rig.decoder()[0].run(10**9, until_idle=True)
    assert outcome(rig) == undisturbed


def test_the_fast_build_has_no_crash_points() -> None:
    assert arm_crash("unit_before_oldest") is False


def test_a_torn_latest_slot_is_never_read(tmp_path: Path, killer: Killer) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    assert killer.die_at(rig, "latest_inside_slot", 5) == KILLED
    for token in TOKENS[:7]:
        tick = rig.latest(token)
        published = rig.ticks()
        if int(tick["sequence"]):
            assert np.isclose(float(tick["last_price"]), float(tick["close"]))
        assert int(tick["sequence"]) <= 256
        assert len(published) == 0
