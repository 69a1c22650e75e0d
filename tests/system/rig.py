"""The main job under test: a run against the simulated exchange, a reader, and the comparison.

The verdict compares the exchange's truth log with what this process read from the streams itself,
never the pipeline's own counters.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ext.streams import NoticeKind, StreamReader
from pipeline.core import layout
from pipeline.core.enums import EventKind, InstanceState, Reason, SegmentKind, State
from pipeline.core.errors import SegmentError
from pipeline.services.status import snapshot
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import INSTANCE_BELL, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, WireTable, confirmed_rows
from pipeline.sim.control import ControlClient
from pipeline.sim.received import log_rows
from pipeline.sim.role import CONTROL_NAME
from pipeline.sim.truth import read_truth
from pipeline.sim.verify import Verdict, gap_dtype, verify
from pipeline.supervisor.backlog import Backlog
from pipeline.supervisor.launch import launch
from tests.builds import environment
from tests.processes import alive_in

DEADLINE_S = 60.0

CONFIG = """
[instance]
name = "{name}"
shm_directory = "{shm}"
log_level = "debug"

[simulator]
instruments = {instruments}
truth = "truth.bin"
{simulator}

[rings]
{rings}

[[account]]
name = "exchange"
url = "simulator"
api_key = "demo"
{account}
"""
CONNECTION = """
[[connection]]
account = "exchange"
instruments_max = {count}
[[subscription]]
simulated = {{ first = {first}, count = {count} }}
mode = "{mode}"
connection = {number}
"""
MODES = ("full", "quote", "ltp")
SIMULATOR = 'rate = "max"\ninterval_s = 0.1'
RINGS = "packets_per_instrument_per_s = 10.0"


def wait_for(
    condition: Callable[[], Any],
    what: str,
    *,
    pump: Callable[[], object] | None = None,
    seconds: float = DEADLINE_S,
) -> Any:
    """Return the first true result, reading on meanwhile; fail with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        if pump is not None:
            pump()
        time.sleep(0.002 if pump else 0.01)
    return result


class Run:
    """One `python -m pipeline run`, in its own folder and its own shared-memory directory."""

    def __init__(
        self,
        folder: Path,
        shm: Path,
        *,
        connections: int = 3,
        count: int = 100,
        account: str = "",
        simulator: str = SIMULATOR,
        rings: str = RINGS,
        more: str = "",
        pool: str | None = None,
        build: Path | None = None,
    ) -> None:
        self.folder = folder
        self.connections = connections
        self.instruments = connections * count
        self.pooled = pool is not None
        self.build = build
        self.config = folder / "config.toml"
        text = CONFIG.format(
            name="system", shm=shm, instruments=self.instruments, account=account,
            simulator=simulator, rings=rings,
        )  # fmt: skip
        if pool is not None:
            text += f"[pool]\n{pool}\n"
        for number in range(connections if pool is None else 0):
            text += CONNECTION.format(
                first=number * count, count=count, number=number, mode=MODES[number % len(MODES)]
            )
        self.config.write_text(text + more)
        self.paths = InstancePaths("system", shm)
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.sessions: list[int] = []
        self.strategies: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> Run:
        """Start it, with the extensions of `build` if one was given; return at once."""
        line = ["-m", "pipeline", "run", "--config", str(self.config), *arguments]
        with self.log.open("ab") as log:
            if self.build is None:
                self.process = launch(line, stderr=log)
            else:
                self.process = subprocess.Popen(
                    [sys.executable, *line], env=environment(self.build), stderr=log,
                    stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
        self.sessions.append(self.process.pid)
        return self

    def start_and_wait(self, *arguments: str) -> Run:
        """Start it, and wait until every connection is live with all that was asked for."""
        self.start(*arguments)
        wait_for(self.is_ready, "the instance to run")
        for number in self.numbers:
            wait_for(lambda number=number: self.is_complete(number), "a connection to be complete")
        return self

    def is_ready(self) -> bool:
        """Whether readers may attach."""
        assert self.process is not None and self.process.poll() is None, self.log.read_text()
        try:
            view = InstanceView(self.paths)
            info = view.read() if view.version else None
        except (FileNotFoundError, SegmentError):
            return False  # not yet, or being made just now
        return info is not None and info.is_live and info.state is InstanceState.RUNNING

    @property
    def numbers(self) -> list[int]:
        """The numbers of the connections; a pool's are those of its manifest."""
        if not self.pooled:
            return list(range(self.connections))
        manifest = InstanceView(self.paths).read().manifest
        return sorted(entry.number for entry in manifest if entry.kind is SegmentKind.TICKS)

    def attach(self, kind: SegmentKind, number: int = 0) -> Segment:
        return Segment.attach(self.paths.segment(kind, number), kind)

    def page(self, connection: int) -> np.ndarray[Any, Any]:
        """Return a feed's status page, in place."""
        return StatusPage(self.attach(SegmentKind.FEED_STATUS, connection)).record

    def state(self, connection: int) -> State:
        return State(int(self.page(connection)["head"]["state"]))

    def tick_tail(self, connection: int) -> int:
        """Return the sequence that a connection's next tick will have."""
        return int(self.attach(SegmentKind.TICKS, connection).record("RingControlC")["tail"])

    def has_decoded_all(self) -> bool:
        """Whether every frame that was received is decoded."""
        return not any(Backlog(self.paths, n).frames() for n in self.numbers)

    def pid(self, name: str) -> int:
        """Return the pid of a role's process, 0 while there is none."""
        record = StatusPage(self.attach(SegmentKind.SUPERVISOR_STATUS)).record
        for row in record["processes"][: int(record["process_count"])]:
            if row["name"].tobytes().rstrip(b"\0") == name.encode():
                return int(row["pid"])
        raise AssertionError(f"no process {name!r}")

    def is_complete(self, connection: int) -> bool:
        """Whether every token is on the wire in its mode, and has sent data in this epoch."""
        if self.state(connection) not in (State.LIVE, State.QUIET):
            return False
        wanted = AssignmentTable(self.attach(SegmentKind.ASSIGNMENT, connection)).read()[1]
        _, epoch, sent = WireTable(self.attach(SegmentKind.WIRE, connection)).read_with_epoch()
        pairs = {(int(r["instrument_token"]), int(r["mode"])) for r in sent}
        if pairs != {(int(r["instrument_token"]), int(r["mode"])) for r in wanted}:
            return False
        seen = confirmed_rows(self.attach(SegmentKind.CONFIRMED, connection))[wanted["slot"]]
        return bool(
            np.all(seen["connection_epoch"] == epoch)
            and np.all(seen["instrument_token"] == wanted["instrument_token"])
            and np.all(seen["mode"] == wanted["mode"])
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a role's process, once there is one; return its pid."""
        pid = int(wait_for(lambda: self.pid(name), f"{name} to run"))
        os.kill(pid, number)
        return pid

    def assert_balanced(self) -> None:
        """Every stage of every connection: in = out + dropped, and what one hands on comes in."""
        wait_for(lambda: not self._imbalances(), "counters to add up", seconds=10.0)

    def _imbalances(self) -> list[str]:
        status = snapshot(self.paths)
        deaths = {process.name: process.restarts for process in status.processes}
        found = []
        for connection in status.connections:
            found += [str(balance) for balance in connection.balances if balance.difference]
            decoded = connection.decode_counters
            came_in = decoded["frames_in"] - decoded["frames_state"] + connection.frames.behind
            missing = connection.feed_counters["frames_out"] - came_in
            # A feed counts a frame before it publishes it, and may be killed in between.
            if not 0 <= missing <= deaths[f"feed {connection.number}"]:
                found.append(f"connection {connection.number}: {missing} frames on their way")
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; return the exit code. Its counters have to add up then."""
        assert self.process is not None
        if number != signal.SIGKILL and self.process.poll() is None:
            self.assert_balanced()
            self.assert_subscribed_once()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def assert_subscribed_once(self) -> None:
        """A broker counts an instrument twice that a connection asks for twice: none may."""
        control = self.paths.directory / CONTROL_NAME
        if self.pooled and control.exists():
            with ControlClient(control, timeout_s=DEADLINE_S) as exchange:
                assert exchange.command("stat")["subscribed_again"] == 0

    def running(self) -> list[int]:
        """Return the pids of everything that was started here and has not ended."""
        return alive_in(self.sessions)

    def assert_nothing_left(self) -> None:
        """Fail if a process or a file is left of it."""
        wait_for(lambda: not self.running(), "every process to be gone")
        left = [str(path) for path in self.paths.root.rglob("*")]
        assert left == [], f"left in shared memory: {left}"

    def close(self) -> None:
        """End whatever still runs."""
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        for process in (self.process, *self.strategies):
            if process is not None:
                process.wait(DEADLINE_S)


class Tape:
    """Everything that a reader of all connections was handed, kept."""

    def __init__(self, run: Run) -> None:
        bell = Segment.attach(
            run.paths.segment(SegmentKind.BELL, INSTANCE_BELL), SegmentKind.BELL, writable=True
        )
        self._target = np.zeros(4096, layout.tick_dtype)
        self._reader = StreamReader(self._target, bell.mapping)
        for number in range(run.connections):
            ticks = run.attach(SegmentKind.TICKS, number)
            events = run.attach(SegmentKind.EVENTS, number)
            self._reader.add(number, ticks.mapping, events.mapping, oldest=True)
        self._batches: list[np.ndarray[Any, Any]] = []
        self.events: list[dict[str, int]] = []

    def pump(self) -> None:
        """Take what is there now."""
        while (count := self._reader.poll()) or self._reader.notice_count:
            self._batches.append(self._target[:count].copy())
            for kind, connection, _, lost, event in self._reader.notices():
                assert kind == NoticeKind.NOTICE_EVENT, f"lapped on {connection}: {lost} lost"
                assert event is not None
                self.events.append(event)

    @property
    def has_ticks(self) -> bool:
        """Whether anything was handed out yet."""
        return bool(self._batches)

    def ticks(self, connection: int) -> np.ndarray[Any, Any]:
        """Return all ticks of a connection."""
        everything = np.concatenate(self._batches)
        return everything[everything["connection"] == connection]

    def received(self) -> np.ndarray[Any, Any]:
        """Return what `verify` wants to know of every tick."""
        return log_rows(np.concatenate(self._batches))

    def gaps(self) -> list[dict[str, int]]:
        """Return the gaps of all connections."""
        return [event for event in self.events if event["kind"] == EventKind.GAP]

    def announced(self) -> np.ndarray[Any, Any]:
        """Return when something was said to be lost: in gaps, and in overruns of a decoder."""
        kinds = (EventKind.GAP, EventKind.OVERRUN)
        found = [event for event in self.events if event["kind"] in kinds]
        rows = [
            (e["connection"], e["start_ts_ns"], e["end_ts_ns"], e["kind"] == EventKind.GAP, 0)
            for e in found
        ]
        return np.array(rows, gap_dtype)

    def gap_reasons(self, connection: int) -> list[Reason]:
        return [Reason(gap["reason"]) for gap in self.gaps() if gap["connection"] == connection]


def compare(run: Run, tape: Tape, *, until_ts_ns: int) -> Verdict:
    """Compare what was sent before `until_ts_ns` with the tape; fail unless all is accounted for.

    Nothing is doubled, made up or out of order, sequences have no holes, and what is lost lies
    where the connection's events announced a loss.
    """
    for connection in range(run.connections):
        sequences = tape.ticks(connection)["sequence"]
        assert np.array_equal(sequences, np.arange(1, len(sequences) + 1))
    truth = np.array(read_truth(run.folder / "truth.bin"))
    assert np.all(truth["connection"] >= 0), "a session that did not name its connection"
    verdict = verify(truth, tape.received(), tape.announced(), until_ts_ns=until_ts_ns)
    assert verdict.sent > 0 and verdict.passed, verdict
    return verdict
