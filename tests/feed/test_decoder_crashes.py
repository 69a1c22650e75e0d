"""kill -9 at every crash point of a decoder: nothing lost, nothing twice, no counter off.

A process of the checked build decodes and dies at the n-th passage of a named point; this
process then opens the lane as the successor. Streams, latest table, events and counters must be
those of a decoder that never died.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
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

def decode(directory, point, passage):
    rig = LaneRig(Path(directory), attach=True)
    if point.startswith("forward"):
        assert arm_crash(point, passage)
        rig.decoder()
    decoder, _ = rig.decoder()
    assert arm_crash(point, passage)
    decoder.run(10**9, until_idle=True)

for line in sys.stdin:
    directory, point, passage = line.split()
    child = os.fork()
    if child == 0:
        try:
            decode(directory, point, int(passage))
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

#: Points of the feed's side are visited by the frame ring's own tests.
POINTS = [p for p in crash_points() if not p.startswith("frame_")]
KILLED = -9


def fill(rig: LaneRig) -> None:
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
    return outcome(rig)


class Killer:
    """The checked build's process, and what it made of each request."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DECODE_AND_DIE], env=environment(build_root("checked")),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def die_at(self, rig: LaneRig, point: str, passage: int) -> int:
        """Let a decoder die there; return its exit code (0: it never came so far)."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(rig.directory, point, passage, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.close()


@pytest.mark.parametrize("passage", [1, 2, 3, 4, 6, 9, 150, 256])
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_named_point_leaves_no_trace(
    point: str, passage: int, tmp_path: Path, undisturbed: dict[str, Any], killer: Killer
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    if point.startswith("forward"):
        assert killer.die_at(rig, "commit_after_flip", 2) == KILLED
    returncode = killer.die_at(rig, point, passage)
    assert returncode == KILLED or (returncode == 0 and passage > 1), f"{point} was never passed"
    rig.decoder()[0].run(10**9, until_idle=True)
    assert outcome(rig) == undisturbed


def test_a_chain_of_deaths_leaves_no_trace(
    tmp_path: Path, undisturbed: dict[str, Any], killer: Killer
) -> None:
    rig = LaneRig(tmp_path)
    fill(rig)
    for point in POINTS:
        assert killer.die_at(rig, point, 1) in (KILLED, 0)
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
