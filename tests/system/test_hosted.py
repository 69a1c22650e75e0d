"""Hosted strategies: whatever user code does, the feeds and the other strategies lose nothing.

The verdict is what the strategies themselves wrote down, and the truth log of the exchange.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import NS_PER_MS, monotonic_ns
from pipeline.core.exit_codes import ExitCode
from pipeline.services.status import InstanceStatus, problems, snapshot
from pipeline.services.status.model import Process, Strategy
from pipeline.shm.identity import start_time
from pipeline.shm.instance import clean_instance
from pipeline.supervisor.launch import launch
from tests.system.rig import Run, Tape, compare, wait_for

Make = Callable[..., Run]
SOURCE = Path(__file__).with_name("hosted_strategies.py").read_text()
#: One restart at once, and then peace: the tests look at first deaths.
ONE_RESTART = "[supervisor]\nrestart_backoff_s = [0.0, 600.0]\nstrategy_stop_s = 2.0\n"


class Hosted:
    """A run with strategies, and what they wrote down."""

    def __init__(self, make: Make, folder: Path, more: str = ONE_RESTART, **options: Any) -> None:
        self.folder = folder
        (folder / "mine.py").write_text(SOURCE)
        self.text = more
        self.make, self.options = make, options
        self.seen: InstanceStatus | None = None

    def add(self, name: str, cls: str = "Recorder", *, keys: str = "", **params: object) -> None:
        table = json.dumps({"folder": str(self.folder), "name": name, **params})
        pairs = ", ".join(f"{k} = {json.dumps(v)}" for k, v in json.loads(table).items())
        self.text += f'[[strategy]]\nname = "{name}"\nentry = "mine:{cls}"\n'
        self.text += f"params = {{ {pairs} }}\n{keys}\n"

    def start(self) -> Run:
        self.run: Run = self.make(more=self.text, **self.options)
        return self.run.start_and_wait()

    def status(self) -> InstanceStatus:
        """Return a look at the instance that is no older than a tenth of a second."""
        if self.seen is None or monotonic_ns() - self.seen.taken_mono_ns > 100 * NS_PER_MS:
            self.seen = snapshot(self.run.paths)
        return self.seen

    def process(self, name: str) -> Process:
        return next(p for p in self.status().processes if p.name == f"strategy {name}")

    def strategy(self, name: str) -> Strategy:
        return next(s for s in self.status().strategies if s.name == name)

    def rows(self, name: str, *kinds: str) -> list[list[str]]:
        """Return the lines of a strategy's log that are of these kinds."""
        path = self.folder / f"{name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split() for line in lines if not kinds or line.split()[0] in kinds]

    def pids(self, *names: str) -> list[int]:
        """Return the processes that strategies noted, their own and their children."""
        files = [self.folder / f"{n}.pids" for n in names] or self.folder.glob("*.pids")
        return [int(pid) for file in files if file.exists() for pid in file.read_text().split()]

    def wait_for_ticks(
        self, name: str, more: int = 1000, pump: Callable[[], object] | None = None
    ) -> None:
        """Wait until a strategy was handed so many more ticks."""
        before = self.strategy(name).ticks
        wait_for(lambda: self.strategy(name).ticks >= before + more, f"{name} to go on", pump=pump)

    def contiguous(self, name: str, connection: int) -> tuple[int, int, int]:
        """Return (first, lost, next): from the first tick on, which need not be the stream's, every
        tick came once, in order, or was announced as lost."""
        begin, at, lost = 0, 0, 0
        for kind, number, first, last in self.rows(name, "ticks", "overrun"):
            if int(number) != connection:
                continue
            at = at or int(first)
            begin = begin or at
            assert int(first) == at, f"{name}: expected {at} of connection {connection}"
            if kind == "overrun":
                lost += int(last)
                at += int(last)
            else:
                at = int(last) + 1
        return begin, lost, at

    def stop(self) -> None:
        """End the run in good order; nothing of it may be left, and nobody's children."""
        began = time.monotonic()
        assert self.run.stop() == 0
        assert time.monotonic() - began < 30
        self.run.assert_nothing_left()
        wait_for(lambda: not any(map(start_time, self.pids())), "every child to be gone")


@pytest.fixture
def make_hosted(make_run: Make, tmp_path: Path) -> Callable[..., Hosted]:
    return lambda **options: Hosted(make_run, tmp_path, **options)


DIES = {
    "raises": ("raises", "on_ticks", 1),
    "raises-first": ("raises", "__init__", 1),
    "raises-event": ("raises", "on_event", 1),
    "exits": ("exits", "on_ticks", 3),
    "leaves": ("leaves", "on_start", 4),
    "crashes": ("crashes", "on_ticks", -signal.SIGSEGV),
    "forks": ("forks", "on_ticks", 1),
    "threads": ("threads", "on_ticks", 1),
}
STAYS = ("blocks", "spins", "is_stubborn")
GOES_ON = ("prints", "logs", "closes", "fork_comes_back")
#: A stream holds half a minute of ticks, should this machine be as busy as that.
RINGS = "packets_per_instrument_per_s = 10.0\ntick_records = 32768"


@pytest.mark.timeout(300)
def test_bad_strategies_harm_nobody(make_hosted: Callable[..., Hosted]) -> None:
    hosted = make_hosted(rings=RINGS)
    hosted.add("good")
    for name, (what, where, _) in DIES.items():
        hosted.add(name, "Bad", what=what, where=where)
    for what in (*STAYS, *GOES_ON):
        name = what.replace("_", "-")
        hosted.add(name, "Bad", what=what, keys="report_after_s = 0.5")
    hosted.add("done", "Bad", what="is_done")
    hosted.add("stops", "Bad", what="stops")
    hosted.add("last-word", "Bad", what="raises", where="on_stop")
    run = hosted.start()
    tape = Tape(run)
    for name in DIES:
        wait_for(lambda n=name: hosted.process(n).restarts == 1 and not hosted.process(n).alive,
                 f"{name} to die twice", pump=tape.pump)  # fmt: skip
    for name, (_, _, exit_code) in DIES.items():
        assert hosted.process(name).last_exit_code == exit_code
        assert hosted.process(name).last_exit_reason == "PROCESS_EXITED"
    wait_for(lambda: not any(map(start_time, hosted.pids("forks"))),
             "the children of a strategy to be gone", pump=tape.pump)  # fmt: skip
    for name in ("blocks", "spins", "is-stubborn"):
        wait_for(lambda n=name: hosted.strategy(n).is_slow, f"{name} to be reported",
                 pump=tape.pump)  # fmt: skip
        assert (hosted.strategy(name).phase, hosted.process(name).restarts) == ("on_ticks", 0)
    for name in ("good", "prints", "logs", "closes", "fork-comes-back", "last-word"):
        hosted.wait_for_ticks(name, pump=tape.pump)
        assert hosted.process(name).restarts == 0
    for name in ("done", "stops"):
        wait_for(lambda n=name: hosted.process(n).is_done, "what is done", pump=tape.pump)
    assert hosted.rows("stops", "stop") == [["stop"]]
    wrong = problems(hosted.status())
    assert any("strategy spins is in on_ticks for" in line for line in wrong)
    assert not any("strategy done" in line for line in wrong)
    status = hosted.status()
    others = [p for p in status.processes if p.role != "strategy"]
    assert [p.restarts for p in others] == [0] * len(others)
    end_ts_ns = time.time_ns()
    wait_for(lambda: run.has_decoded_all(), "the decoder", pump=tape.pump)
    tape.pump()
    assert tape.gaps() == []
    tails = [run.tick_tail(n) for n in range(run.connections)]
    hosted.stop()
    compare(run, tape, until_ts_ns=end_ts_ns - 2 * 10**9)
    for connection, tail in enumerate(tails):
        first, lost, end = hosted.contiguous("good", connection)
        assert (first, lost) == (1, 0) and end >= tail
    assert hosted.rows("good", "stop") == [["stop"]]
    check_log(run.log.read_text())


def check_log(log: str) -> None:
    """The log says what happened, once, in lines of bounded length and number."""
    lines = log.splitlines()
    assert max(map(len, lines)) <= 4096
    printed = [line for line in lines if "[strategy prints]" in line]
    assert 0 < len(printed) < 1000
    logged = [line for line in lines if "[strategy logs]" in line]
    assert 0 < len(logged) < 1000
    assert any("a word of its own" in line for line in logged)
    assert "on_ticks raised RuntimeError: on purpose and at" in log
    assert "__init__ raised RuntimeError: on purpose" in log
    assert "on_stop raised RuntimeError: on purpose" in log
    assert "in raises |     raise RuntimeError" in log  # the way to it
    assert "strategy done ended with exit code 0: it is done" in log
    assert "strategy spins is in on_ticks for" in log
    assert "strategy is-stubborn (process" in log and "did not end: killed" in log


def test_a_restart_loses_and_doubles_nothing(make_hosted: Callable[..., Hosted]) -> None:
    hosted = make_hosted(more="[supervisor]\nrestart_backoff_s = [0.0]\n")
    hosted.add("good")
    hosted.add("again", "RaisesOnce", lives=3)
    run = hosted.start()
    wait_for(lambda: len(hosted.rows("again", "start")) >= 4, "three restarts")
    hosted.wait_for_ticks("again")
    assert hosted.strategy("again").exceptions == hosted.process("again").restarts == 3
    hosted.stop()
    for connection in range(run.connections):
        good = hosted.contiguous("good", connection)
        assert hosted.contiguous("again", connection) == good
        assert good[:2] == (1, 0)
    told = [["restart", str(n), "1", "PROCESS_EXITED"] for n in (1, 2, 3)]
    assert hosted.rows("again", "restart") == told


def test_what_was_missed_while_it_was_away_is_told_exactly(
    make_hosted: Callable[..., Hosted],
) -> None:
    hosted = make_hosted(
        more="[supervisor]\nrestart_backoff_s = [2.0]\n",
        connections=1,
        simulator='rate = "max"\ninterval_s = 0.02',
        rings="packets_per_instrument_per_s = 100.0\ntick_records = 1024",
    )
    hosted.add("away", "RaisesOnce", lives=1)
    hosted.start()
    wait_for(lambda: hosted.rows("away", "overrun"), "a loss")
    hosted.wait_for_ticks("away")
    hosted.stop()
    _, lost, _ = hosted.contiguous("away", 0)
    assert lost > 0
    kinds = [row[0] for row in hosted.rows("away", "start", "restart", "overrun")]
    again = kinds.index("restart")
    assert kinds[again - 1 : again + 2] == ["start", "restart", "overrun"]


def test_kills_from_outside_cost_at_most_the_batch_in_hand(
    make_hosted: Callable[..., Hosted],
) -> None:
    hosted = make_hosted(more="")
    hosted.add("killed")
    run = hosted.start()
    for _ in range(3):
        hosted.wait_for_ticks("killed")
        run.kill("strategy killed")
    wait_for(lambda: len(hosted.rows("killed", "start")) == 4, "the last restart")
    hosted.wait_for_ticks("killed")
    hosted.stop()
    for connection in range(run.connections):
        rows = [r for r in hosted.rows("killed", "ticks", "overrun") if int(r[1]) == connection]
        at, holes = 1, 0
        for kind, _, first, last in rows:
            assert kind == "ticks" and int(first) >= at, "nothing comes twice"
            holes += int(first) > at
            at = int(last) + 1
        assert holes <= 3
    assert [row[2] for row in hosted.rows("killed", "restart")] == ["-9"] * 3


def test_one_that_cannot_run_is_failed_and_the_rest_runs(
    make_hosted: Callable[..., Hosted], tmp_path: Path
) -> None:
    hosted = make_hosted(more="")
    hosted.add("good")
    (tmp_path / "needs.py").write_text(
        "import no_such_package\nclass It:\n  def on_stop(self): ..."
    )
    (tmp_path / "heir.py").write_text("from mine import Bad\nclass It(Bad):\n  pass")
    for module in ("needs", "heir"):
        hosted.text += f'[[strategy]]\nname = "{module}"\nentry = "{module}:It"\n'
    run = hosted.start()
    for name in ("needs", "heir"):
        wait_for(lambda n=name: hosted.process(n).circuit_open, f"{name} to be given up")
        assert hosted.process(name).last_exit_code == ExitCode.CONFIG
        assert hosted.process(name).restarts == 0
        assert any(f"strategy {name} cannot run" in line for line in problems(hosted.status()))
    hosted.wait_for_ticks("good")
    stat = launch(
        ["-m", "pipeline", "stat", "system", "--shm-directory", str(run.paths.root)],
        stdout=subprocess.PIPE,
        environment={"COLUMNS": "120"},
    )
    shown = stat.communicate(timeout=60)[0].decode()
    assert "78 PROCESS_EXITED, circuit open" in shown
    assert "strategy needs cannot run" in shown
    hosted.stop()
    log = run.log.read_text()
    assert "module needs imports no_such_package, which is not installed here" in log
    assert "params do not fit It: missing a required argument: 'folder'" in log


def test_a_wrong_entry_is_refused_before_anything_starts(make_run: Make, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SOURCE)
    more = '[[strategy]]\nentry = "mine:Recoder"\n[[strategy]]\nentry = "mine:Bad"\n'
    run = make_run(more=more)
    with run.log.open("wb") as log:
        process = launch(["-m", "pipeline", "run", "-c", str(run.config)], stderr=log)
    assert process.wait(60) == ExitCode.CONFIG
    log_text = run.log.read_text()
    assert "strategy[0].entry: found no class Recoder" in log_text
    assert "strategy[1].params.folder: found nothing; expected a value" in log_text
    assert not run.paths.directory.exists()


def test_the_death_of_the_supervisor_ends_the_strategies(
    make_hosted: Callable[..., Hosted],
) -> None:
    hosted = make_hosted()
    hosted.add("good")
    hosted.add("blocks", "Bad", what="blocks")
    run = hosted.start()
    for name in ("good", "blocks"):
        wait_for(lambda n=name: hosted.rows(n, "ticks"), f"{name} to run")
    assert run.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not any(map(start_time, hosted.pids())), "every strategy to be gone")
    clean_instance(run.paths)
    run.assert_nothing_left()


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_minute_of_nothing_is_reported_and_survived(make_hosted: Callable[..., Hosted]) -> None:
    hosted = make_hosted()
    hosted.add("good")
    hosted.add("away", "Bad", what="blocks_a_minute")
    run = hosted.start()
    wait_for(lambda: hosted.strategy("away").is_slow, "the report")
    hosted.wait_for_ticks("good")
    wait_for(lambda: "strategy away is back from on_ticks" in run.log.read_text(),
             "its return", seconds=120)  # fmt: skip
    assert hosted.process("away").restarts == 0
    hosted.stop()
    log = run.log.read_text()
    assert 2 <= log.count("strategy away is in on_ticks for") <= 10
    for connection in range(run.connections):
        assert hosted.contiguous("good", connection)[:2] == (1, 0)


LINGERING = """
import signal, threading
from pipeline.strategy.hosting import __main__ as hosting

def refuse(self):
    raise RuntimeError("can't start new thread")

signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
hosting._ALARM_S = 1
threading.Thread(target=threading.Event().wait).start()
threading.Thread.start = refuse
hosting._end_soon(3)
"""


def test_an_interpreter_that_lingers_is_cut_short_where_no_thread_can_be_started() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LINGERING], capture_output=True, text=True, timeout=40, check=False
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGALRM, "")
