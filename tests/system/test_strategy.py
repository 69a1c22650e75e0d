"""Strategies on the real pipeline: killed ones, successors, the latest table, and `stat`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.services.status import InstanceStatus, problems, snapshot
from pipeline.strategy.market import Market
from tests.architecture.tree import ROOT
from tests.system.rig import DEADLINE_S, Run, wait_for

Make = Callable[..., Run]

#: For those who stop the exchange for a while themselves.
PATIENT = "[supervisor]\nhang_timeout_s = 600.0\n"

SLOW = """
import sys, time, pipeline
with pipeline.attach("system", shm_directory=sys.argv[1], name="slow") as market:
    print("attached", flush=True)
    for ticks in market.batches():
        time.sleep(3600)
"""


def attach(run: Run, **options: object) -> Market:
    return pipeline.attach("system", shm_directory=run.paths.root, **options)  # type: ignore[arg-type]


def test_a_killed_strategy_is_swept_and_missed_by_nobody(make_run: Make) -> None:
    run = make_run().start_and_wait()
    command = [sys.executable, "-c", SLOW, str(run.paths.root)]
    with attach(run, name="fast") as market:
        batches = market.batches(timeout_s=0.05)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as slow:
            assert slow.stdout is not None and slow.stdout.readline() == b"attached\n"
            assert len(list(run.paths.readers.glob("slow.*"))) == 1
            slow.kill()
        wait_for(
            lambda: not list(run.paths.readers.glob("slow.*")),
            "the dead reader's page to be swept",
            pump=lambda: next(batches),
        )
        assert market.lost == 0
        assert [r.name for r in snapshot(run.paths).readers] == ["fast"]
    assert run.stop() == 0
    run.assert_nothing_left()


def test_the_latest_table_holds_each_instrument_s_last_tick(make_run: Make) -> None:
    run = make_run(more=PATIENT).start_and_wait()
    read: list[np.ndarray[Any, Any]] = []
    with attach(run, from_="oldest") as market:
        run.kill("simulator", signal.SIGSTOP)
        batches = market.batches(timeout_s=0.05)

        def read_dry() -> bool:
            """Whether nothing more comes, and the table holds what came last."""
            while len(ticks := next(batches)):
                read.append(ticks.copy())
            backwards = np.concatenate(read)[::-1]
            tokens, first = np.unique(backwards["instrument_token"], return_index=True)
            return tokens.tolist() == market.tokens.tolist() and bool(
                np.all(market.latest(tokens) == backwards[first])
            )

        wait_for(read_dry, "the table to hold the last ticks")
        assert market.lost == 0
        run.kill("simulator", signal.SIGCONT)
    assert run.stop() == 0


def test_a_follower_survives_the_death_of_the_whole_instance(make_run: Make) -> None:
    run = make_run().start_and_wait()
    with attach(run, follow=True) as market:
        stream = market.stream(timeout_s=0.2)
        wait_for(lambda: isinstance(next(stream), pipeline.Ticks), "ticks")
        assert run.process is not None
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait(DEADLINE_S)
        wait_for(lambda: len(run.running()) == 0, "every process to be gone")
        run.start()
        gaps = []

        def next_is_new() -> bool:
            item = next(stream)
            if isinstance(item, pipeline.Gap):
                gaps.append(item)
            return bool(gaps) and isinstance(item, pipeline.Ticks)

        wait_for(next_is_new, "ticks of the next life")
        assert [gap.connection for gap in gaps[:3]] == [0, 1, 2]
        assert all(0 < gap.start_mono_ns < gap.end_mono_ns for gap in gaps[:3])
    assert run.stop() == 0
    run.assert_nothing_left()


def test_a_run_is_healthy_and_its_accounts_balance(make_run: Make) -> None:
    quick = "[feed]\nping_after_s = 0.6\nstall_after_s = 1.5\n"
    run = make_run(more=quick + PATIENT).start_and_wait()
    with attach(run) as market:
        batches = market.batches(timeout_s=0.2)
        for _ in range(20):
            next(batches)

        def when_healthy() -> InstanceStatus | None:
            found = snapshot(run.paths)
            return None if problems(found) else found

        status: InstanceStatus = wait_for(when_healthy, "health", pump=lambda: next(batches))
    for connection in status.connections:
        sets = connection.instruments
        assert sets.assigned == sets.wire == sets.confirmed == sets.seen == 100
        assert [b.difference for b in connection.balances[1:]] == [0, 0, 0]
        assert connection.decode_counters["ticks_out"] > 0
    assert status.readers[0].delivered > 0 and status.readers[0].latency.p99_ns > 0
    run.kill("simulator", signal.SIGSTOP)
    wait_for(lambda: problems(snapshot(run.paths)), "the silence to be seen")
    run.kill("simulator", signal.SIGCONT)
    assert run.stop() == 0


@pytest.mark.parametrize("turns", [5, pytest.param(100, marks=pytest.mark.full)])
def test_attaching_again_and_again_leaves_nothing(make_run: Make, turns: int) -> None:
    run = make_run().start_and_wait()

    def read_once() -> None:
        with attach(run) as market:
            assert len(next(market.batches()))

    read_once()
    before = _descriptors(), len(_maps(run))
    for _ in range(turns):
        read_once()
    assert (_descriptors(), len(_maps(run))) == before
    assert not list(run.paths.readers.iterdir())
    assert run.stop() == 0


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _maps(run: Run) -> list[str]:
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in maps if str(run.paths.root) in line]
