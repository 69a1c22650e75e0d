"""Faults at random from a seed, then quiet: healthy in 5 s, and every loss was announced.

Kills, stops and continues of any process but the exchange itself (whose truth log is the measure),
and what an exchange can do to a connection: reset, end, half-open, silence, delay.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from pipeline.core.clock import real_ns
from pipeline.sim.control import ControlClient
from tests.system.rig import DEADLINE_S, Run, Tape, compare, wait_for

CONFIG = """
[feed]
ping_after_s = 0.6
stall_after_s = 1.0
backoff_max_s = 1.0
"""
STEP_S = 0.3
HEALTHY_S = 5.0
KILLED = ("feed 0", "feed 1", "feed 2", "decoder 0")
ON_THE_WIRE = ("reset", "fin", "half_open", "mute", "delay", "dribble")


class Chaos:
    """Does one thing wrong after another; `stop` lets everything run again."""

    def __init__(self, run: Run, seed: int) -> None:
        self._run = run
        self._random = random.Random(seed)
        self._control = ControlClient(run.paths.directory / "simulator.sock")
        self._stopped: dict[int, float] = {}  # pid: when it goes on
        self.done: list[str] = []

    def step(self) -> None:
        """Do something wrong, and let go on who was stopped long enough."""
        self._let_go_on(time.monotonic())
        draw = self._random.random()
        if draw < 0.3:
            self._kill(self._random.choice(KILLED), signal.SIGKILL)
        elif draw < 0.5:
            self._stop_one()
        else:
            self._hurt()

    def _kill(self, name: str, number: int) -> int:
        pid = self._run.pid(name)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, number)
                self.done.append(f"{signal.Signals(number).name} {name}")
        return pid

    def _stop_one(self) -> None:
        name = self._random.choice((*KILLED, "supervisor"))
        assert self._run.process is not None
        if name == "supervisor":
            pid = self._run.process.pid
            os.kill(pid, signal.SIGSTOP)
            self.done.append("SIGSTOP supervisor")
        else:
            pid = self._kill(name, signal.SIGSTOP)
        if pid:
            self._stopped[pid] = time.monotonic() + self._random.uniform(0.1, 1.2)

    def _hurt(self) -> None:
        action = self._random.choice(ON_THE_WIRE)
        parameters: dict[str, object] = {"connection": self._random.randrange(3)}
        if action == "mute":
            parameters["seconds"] = self._random.uniform(0.1, 2.0)
        elif action == "delay":
            parameters["ms"] = self._random.uniform(1, 50)
        elif action == "dribble":
            parameters |= {"seconds": 0.3, "gap_ms": 1}
        self._control.command(action, **parameters)
        self.done.append(f"{action} {parameters}")

    def _let_go_on(self, now: float) -> None:
        for pid, until in list(self._stopped.items()):
            if until <= now:
                del self._stopped[pid]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """End all faults."""
        self._let_go_on(float("inf"))
        self._control.command("calm")
        self._control.close()


def run_chaos(make_run: Callable[..., Run], seed: int, *, seconds: float, healthy_s: float) -> None:
    """Run so many seconds of faults, then check that all is soon well and accounted for."""
    run = make_run(more=CONFIG).start_and_wait()
    tape = Tape(run)
    chaos = Chaos(run, seed)
    try:
        next_step = time.monotonic()
        end = next_step + seconds
        while (now := time.monotonic()) < end:
            tape.pump()
            if now >= next_step:
                next_step += STEP_S
                chaos.step()
            time.sleep(0.002)
        chaos.stop()
        wait_for(
            lambda: all(run.is_complete(connection) for connection in range(3)),
            "every connection to be healthy",
            pump=tape.pump,
            seconds=healthy_s,
        )
        until = real_ns()
        while real_ns() < until + 10**9:
            tape.pump()
            time.sleep(0.002)
        assert run.stop() == 0
        tape.pump()
        compare(run, tape, until_ts_ns=until)
    except BaseException:
        print(f"seed {seed}: {chaos.done}")
        print(run.log.read_text())
        raise
    run.assert_nothing_left()


def test_chaos_for_five_seconds(make_run: Callable[..., Run], seed: int) -> None:
    run_chaos(make_run, seed, seconds=5.0, healthy_s=DEADLINE_S)


@pytest.mark.full
@pytest.mark.timeout(240)
def test_chaos_for_fifty_seconds(make_run: Callable[..., Run], seed: int) -> None:
    run_chaos(make_run, seed, seconds=50.0, healthy_s=HEALTHY_S)
