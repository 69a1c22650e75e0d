"""An instance under test: a supervisor in a session of its own, and proof of what it leaves."""

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

from ext.rings import FrameRingReader
from pipeline.core import layout
from pipeline.core.enums import FrameKind, InstanceState, Reason, SegmentKind, State
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.shm.tables import TopologyTable
from tests.processes import alive_in

PROGRAM = Path(__file__).with_name("fake_instance.py")
ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0

CONFIG = """
[instance]
name = "test"
shm_directory = "{shm}"
{instance}
[simulator]
[[account]]
name = "exchange"
url = "simulator"
api_key = "demo"
{connections}
[[subscription]]
instruments = [408065, 884737]
[rings]
frame_bytes = 131072
tick_records = 1024
{more}
"""
CONNECTION = """
[[connection]]
account = "exchange"
instruments_max = 100
"""


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = DEADLINE_S) -> Any:
    """Return the first true result; fail with `what` when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.005)
    return result


class Instance:
    """One supervisor with fake roles; `close` proves that nothing of it is left."""

    def __init__(self, folder: Path, *, connections: int = 2, instance: str = "", more: str = ""):
        self.folder = folder
        self.shm = folder / "shm"
        self.shm.mkdir(exist_ok=True)
        (folder / "behaviour").mkdir(exist_ok=True)
        self.config = folder / "config.toml"
        self.config.write_text(
            CONFIG.format(
                shm=self.shm, instance=instance, connections=CONNECTION * connections, more=more
            )
        )
        self.paths = InstancePaths("test", self.shm)
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.sessions: list[int] = []

    def behave(self, name: str, behaviour: str) -> None:
        """Say what the next process of a role does; `good` is what it does by itself."""
        (self.folder / "behaviour" / name).write_text(behaviour)

    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> Instance:
        """Start the supervisor; return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.config), *arguments],
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "OPENBLAS_NUM_THREADS": "1",
                    **(environment or {}),
                },
            )
        self.sessions.append(self.process.pid)
        return self

    def start_and_wait(self, names: int) -> Instance:
        """Start, and wait until so many different roles have begun."""
        self.start()
        wait_for(lambda: len({name for name, *_ in self.starts()}) >= names, "all roles to start")
        wait_for(lambda: self.view().read().state is InstanceState.RUNNING, "the state RUNNING")
        return self

    def starts(self) -> list[tuple[str, int, int, str]]:
        """Return (role, pid, monotonic ns, skip) of every process that began."""
        path = self.folder / "starts"
        rows = (
            [line.split(" ", 3) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [(name, int(pid), int(at), skip) for name, pid, at, skip in rows]

    def pids(self, name: str) -> list[int]:
        """Return the pids of a role's processes so far."""
        return [pid for found, pid, *_ in self.starts() if found == name]

    def wait_for_starts(self, name: str, count: int, *, seconds: float = DEADLINE_S) -> int:
        """Wait until a role has had so many processes; return the last one's pid."""
        wait_for(lambda: len(self.pids(name)) >= count, f"start {count} of {name}", seconds=seconds)
        return self.pids(name)[-1]

    def wait(self) -> int:
        """Wait for the supervisor's end; return its exit code, minus the signal."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """End in good order; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def want(self, *rows: tuple[int, int], spoil: str = "", nonsense: int = 9999) -> None:
        """Write the topology table as the control process does: (number, wanted) of each.

        `spoil` names a field to fill with nonsense.
        """
        path = self.paths.segment(SegmentKind.TOPOLOGY)
        table = TopologyTable(Segment.attach(path, SegmentKind.TOPOLOGY, writable=True))
        wanted = np.zeros(len(rows), layout.dtypes["TopologyC"])
        for row, (number, is_wanted) in zip(wanted, rows, strict=True):
            row["number"], row["wanted"], row["instruments_max"] = number, is_wanted, 100
            if spoil:
                row[spoil] = nonsense
        table.write(wanted)
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)

    def files_of(self, connection: int) -> list[str]:
        """Return the names of a connection's files."""
        return sorted(path.name for path in self.paths.directory.glob(f"c{connection}.*"))

    def attach(self, kind: SegmentKind, number: int = 0) -> Segment:
        return Segment.attach(self.paths.segment(kind, number), kind)

    def view(self) -> InstanceView:
        return InstanceView(self.paths)

    def row(self, name: str) -> np.ndarray[Any, Any]:
        """Return a process's row in the supervisor's page, in place."""
        path = self.paths.segment(SegmentKind.SUPERVISOR_STATUS)
        record = StatusPage(Segment.attach(path, SegmentKind.SUPERVISOR_STATUS)).record
        raw = name.encode()
        for row in record["processes"]:
            if row["name"].tobytes().rstrip(b"\0") == raw:
                return row  # type: ignore[no-any-return]
        raise AssertionError(f"no row {name!r}")

    def states(self, connection: int) -> list[tuple[State, Reason, int]]:
        """Return the state changes in a connection's frame ring: (state, reason, detail)."""
        path = self.paths.segment(SegmentKind.FRAMES, connection)
        reader = FrameRingReader(Segment.attach(path, SegmentKind.FRAMES).mapping)
        found = []
        while (message := reader.poll()) is not None:
            if message["kind"] == FrameKind.STATE:
                found.append(
                    (State(message["state"]), Reason(message["reason"]), message["detail"])
                )
        return found

    def running(self) -> list[int]:
        """Return the pids of all that was started here and has not ended, the supervisor too."""
        return alive_in(self.sessions)

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def assert_nothing_left(self) -> None:
        """Fail if a process or a file of the instance is left."""
        wait_for(lambda: not self.running(), "every process to be gone")
        left = [str(path) for path in self.shm.rglob("*")]
        assert left == [], f"left in shared memory: {left}"

    def close(self) -> None:
        """End whatever still runs, without any claim."""
        for pid in self.running():
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(DEADLINE_S)
