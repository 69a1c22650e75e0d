"""Faults at random from a seed, then quiet: healthy again, and every loss was announced.

Kills, stops and continues of any process but the exchange itself (whose truth log is the measure),
and whatever an exchange can do to connections and openings. PIPELINE_TEST_SEED repeats the
workload and the sequence of faults; the two are drawn from streams of their own.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.sim.control import ControlClient
from tests.system.judge import Witness, control_of, judge, run_dry
from tests.system.rig import Run, wait_for

CONFIG = """
[feed]
ping_after_s = 0.6
stall_after_s = 1.0
backoff_max_s = 1.0
"""
STEP_S = 0.25
#: What is promised with that back-off; a busy machine gets more in the short run.
HEALTHY_S = 5.0
KILLED = ("feed 0", "feed 1", "feed 2", "decoder 0")
BAD_TEXTS = ("json", "utf8", "array", "number", "null", "nested", "unknown", "no_type", "empty")


def weather(source: random.Random) -> tuple[str, dict[str, object]]:
    """Draw what happens to one connection."""
    count = source.randint(1, 20)
    table: list[tuple[str, dict[str, object]]] = [
        ("reset", {}),
        ("fin", {}),
        ("close", {"code": source.choice((1000, 1001, 1011))}),
        ("half_open", {}),
        ("mute", {"seconds": source.uniform(0.1, 2.0)}),
        ("delay", {"ms": source.uniform(1, 50)}),
        ("dribble", {"seconds": 0.3, "gap_ms": 1}),
        ("split", {"seconds": 0.5}),
        ("merge", {"frames": 4, "seconds": 0.5}),
        ("lying_count", {"count": count, "by": source.choice((-2, 1, 3, 60_000))}),
        ("lying_length", {"count": count}),
        ("unknown_size", {"count": count}),
        ("trailing", {"count": count}),
        ("fragmented", {"count": count}),
        ("bad_text", {"kind": source.choice(BAD_TEXTS)}),
        ("over_limit", {}),
        ("ping_flood", {"count": source.choice((50, 2000))}),
        ("giant", {"bytes": source.choice((1 << 24, 1 << 62))}),
        ("masked", {}),
        ("reserved_bits", {}),
        ("reserved_opcode", {}),
        ("empty", {}),
    ]
    return source.choice(table)


class Chaos:
    """Does one thing wrong after another; `stop` lets everything run again."""

    def __init__(self, run: Run, source: random.Random, token: Path) -> None:
        self._run = run
        self._random = source
        self._token = token
        self._control: ControlClient = control_of(run)
        self._stopped: dict[int, float] = {}  # pid: when it goes on
        self.done: list[str] = []

    def step(self) -> None:
        """Do something wrong, and let go on who was stopped long enough."""
        self._let_go_on(time.monotonic())
        if self._random.random() < 0.3:
            self.renew_token()  # as somebody would who sees AUTH_EXPIRED
        draw = self._random.random()
        if draw < 0.2:
            self._kill(self._random.choice(KILLED), signal.SIGKILL)
        elif draw < 0.35:
            self._stop_one(self._random.choice((*KILLED, "supervisor")))
        elif draw < 0.43:
            self._refuse(self._random.choice((403, 429, 500, 503)), self._random.randint(1, 2))
        else:
            action, parameters = weather(self._random)
            self._command(action, connection=self._random.randrange(3), **parameters)

    def _command(self, action: str, **parameters: object) -> None:
        self._control.command(action, **parameters)
        self.done.append(f"{action} {parameters}")

    def _refuse(self, status: int, count: int) -> None:
        """The next openings fail, and one is due at once."""
        self._command("refuse", status=status, count=count)
        self._command("reset", connection=self._random.randrange(3))

    def renew_token(self) -> None:
        """Give the feeds a token that has not been refused yet."""
        renew(self._token)

    def _kill(self, name: str, number: int) -> int:
        pid = self._run.pid(name)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, number)
                self.done.append(f"{signal.Signals(number).name} {name}")
        return pid

    def _stop_one(self, name: str) -> None:
        seconds = self._random.uniform(0.1, 1.2)
        if name == "supervisor":
            assert self._run.process is not None
            pid = self._run.process.pid
            os.kill(pid, signal.SIGSTOP)
            self.done.append("SIGSTOP supervisor")
        else:
            pid = self._kill(name, signal.SIGSTOP)
        if pid:
            self._stopped[pid] = time.monotonic() + seconds

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
        self._control.command("admit")
        self.renew_token()
        self._control.close()


def renew(token: Path) -> None:
    """Replace the file of the token; what it holds stays good."""
    temporary = token.with_suffix(".new")
    temporary.touch(0o600)
    temporary.write_text("demo")
    temporary.replace(token)


def run_chaos(make_run: Callable[..., Run], folder: Path, seed: int, seconds: float) -> float:
    """Run so many seconds of faults, then check that all is well and accounted for.

    Return how many seconds after the last fault every connection was healthy.
    """
    workload, faults = random.Random(f"workload {seed}"), random.Random(f"faults {seed}")
    renew(folder / "token")
    market_seed = workload.randrange(2**31)
    run = make_run(
        simulator=f'rate = "max"\ninterval_s = 0.05\nseed = {market_seed}',
        rings="packets_per_instrument_per_s = 20.0",
        account='access_token = "file:token"',
        more=CONFIG,
    )
    witness = Witness(run)
    run.start_and_wait()
    chaos = Chaos(run, faults, folder / "token")
    try:
        play(chaos, seconds)
        ended_ns = time.monotonic_ns()
        wait_for(lambda: is_healthy(run, ended_ns), "every connection to be healthy")
        healthy_s = (time.monotonic_ns() - ended_ns) / 1e9
        print(f"{len(chaos.done)} faults; healthy {healthy_s:.2f} s after the last")
        run_dry(run, witness)
        assert run.stop() == 0
        witness.finish()
        verdict = judge(run, witness, seed=market_seed)
    except BaseException:
        print(*chaos.done, sep="\n")
        print(run.log.read_text())
        raise
    print(f"{verdict.sent:,} ticks sent, {verdict.lost:,} lost in {verdict.gaps} announced gaps")
    run.assert_nothing_left()
    return healthy_s


def is_healthy(run: Run, since_mono_ns: int) -> bool:
    """Whether every connection is complete, and has heard of the market since then."""
    return all(
        int(run.page(connection)["last_data_mono_ns"]) > since_mono_ns
        and run.is_complete(connection)
        for connection in range(run.connections)
    )


def play(chaos: Chaos, seconds: float) -> None:
    """Do something wrong again and again for so long."""
    next_step = time.monotonic()
    end = next_step + seconds
    while (now := time.monotonic()) < end:
        if now >= next_step:
            next_step += STEP_S
            chaos.step()
        time.sleep(0.005)
    chaos.stop()


def test_chaos_for_a_while(make_run: Callable[..., Run], tmp_path: Path, seed: int) -> None:
    run_chaos(make_run, tmp_path, seed, 6.0)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_chaos_for_fifty_seconds(make_run: Callable[..., Run], tmp_path: Path, seed: int) -> None:
    assert run_chaos(make_run, tmp_path, seed, 50.0) < HEALTHY_S
