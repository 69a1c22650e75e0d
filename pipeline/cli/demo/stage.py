"""Starting and ending everything that the demo needs, so that nothing is left. Floor 6.

The main job is `python -m pipeline run`, as a user would start it; the strategies are processes of
their own. Leaving the stage ends them all, also after an error or Ctrl-C, and says what stayed.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

import psutil

from pipeline.cli.demo.folder import InFolder
from pipeline.cli.demo.options import DemoOptions
from pipeline.cli.demo.page import has_page, page_address, write_list
from pipeline.cli.demo.readings import Observer
from pipeline.cli.demo.scenario import FAST, SLOW, TRUTH_NAME, config_text
from pipeline.core.enums import InstanceState
from pipeline.core.errors import PipelineError, SegmentError
from pipeline.shm.identity import own_age_s
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.sim.control import ControlClient
from pipeline.sim.role import CONTROL_NAME
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

START_DEADLINE_S: Final = 30.0
END_DEADLINE_S: Final = 15.0
#: What the slow strategy does with each batch of 256 ticks: nothing, for this long.
SLOW_PAUSE_S: Final = 0.25
_LOOK_AGAIN_S: Final = 0.02


def wait_until(condition: Callable[[], bool], *, deadline_s: float, what: str) -> None:
    """Return when the condition holds; raise PipelineError when it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise PipelineError(f"after {deadline_s:g} s still waiting for {what}")
        time.sleep(_LOOK_AGAIN_S)


class Stage(InFolder):
    """A context: inside it the pipeline and both strategies run."""

    def __init__(self, options: DemoOptions) -> None:
        self.options = options
        self.name = f"demo-{os.getpid()}"
        self.paths = InstancePaths(self.name)
        self._control_path = self.paths.directory / CONTROL_NAME
        self.processes: dict[str, Launched] = {}
        self._seen: set[psutil.Process] = set()
        self._ports: set[int] = set()
        #: Where a browser sees this run; empty without a page.
        self.page = ""
        #: From the command that started this process to the first tick that a strategy got.
        self.start_s = 0.0

    def _end(self) -> None:
        # Those that still run are not needed any more; they may wait for an instance in vain.
        for name in self.processes.keys() & {FAST, SLOW}:
            self.processes[name].kill()
        self.end()

    def _start(self) -> None:
        config = self.folder / "demo.toml"
        page, truth = has_page(self.options), self.folder / TRUTH_NAME
        config.write_text(config_text(self.options, name=self.name, truth=truth, page=page))
        log = (self.folder / "run.log").open("wb")
        with log:
            self.processes["supervisor"] = launch(
                ["-m", "pipeline", "run", "--config", str(config)],
                die_with_parent=signal.SIGTERM, stdout=log, stderr=log,
            )  # fmt: skip
            self._start_probe(FAST, 0.0, log)
            self._start_probe(SLOW, SLOW_PAUSE_S, log)
        if page:
            write_list(self.folder, self.options)  # meanwhile: it is needed last of all
        wait_until(self._is_running, deadline_s=START_DEADLINE_S, what="the pipeline to start")
        own = {name: process.pid for name, process in self.processes.items()}
        self.observer = Observer(self.paths, own)
        self.control = ControlClient(self._control_path)
        wait_until(self._has_ticks, deadline_s=START_DEADLINE_S, what="the first tick")
        if page:
            self.page = page_address(self.paths)
        self.start_s = own_age_s()  # since the command: the script that prepares all is replaced
        self._note_family()

    def _start_probe(self, name: str, pause_s: float, log: object) -> None:
        arguments = ["-m", "pipeline.cli.demo.probe", self.name, name, str(self.folder)]
        self.processes[name] = launch(
            [*arguments, "--pause", str(pause_s)],
            die_with_parent=signal.SIGKILL, stdout=log, stderr=log,  # type: ignore[arg-type]
        )  # fmt: skip

    def _is_running(self) -> bool:
        self._require_alive()
        try:
            info = InstanceView(self.paths).read()
        except (FileNotFoundError, SegmentError):
            return False
        running = info.state is InstanceState.RUNNING
        return running and self._control_path.exists()

    def _has_ticks(self) -> bool:
        self._require_alive()
        return self.observer.read().delivered > 0

    def _require_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise PipelineError(
                    f"the {name} process ended with code {process.returncode}; it said:\n"
                    f"{self.said() or '(nothing)'}"
                )

    def said(self) -> str:
        """Return what the processes wrote to their stderr, shortened."""
        try:
            text = (self.folder / "run.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return text[-4000:].strip()

    def _note_family(self) -> None:
        """Remember every process by its identity, and each port, to see that they are gone."""
        for process in self.processes.values():
            try:
                parent = psutil.Process(process.pid)
                self._seen.update([parent, *parent.children(recursive=True)])
            except psutil.NoSuchProcess:
                continue
        pids = {process.pid for process in self._seen}
        self._ports |= {
            found.laddr.port
            for found in psutil.net_connections("tcp4")
            if found.status == psutil.CONN_LISTEN and found.laddr and found.pid in pids
        }

    def end(self) -> None:
        """End the pipeline in good order; the strategies follow. May be called twice."""
        supervisor = self.processes.get("supervisor")
        if supervisor is None:
            return
        if supervisor.poll() is None:
            self._note_family()
            if SLOW in self.processes:
                self.processes[SLOW].terminate()  # to it, this means to hurry
            supervisor.terminate()
        for process in self.processes.values():
            wait_or_kill(process, END_DEADLINE_S)

    def leftovers(self) -> list[str]:
        """Return what is still there after the end: processes, both folders, ports."""
        left = [f"process {p.pid} ({p.name()})" for p in self._seen if _is_alive(p)]
        left += [str(path) for path in (self.paths.directory, self.folder) if path.exists()]
        return left + [f"port {port}" for port in sorted(self._ports) if _is_open(port)]

    def bad_ends(self) -> list[str]:
        """Return which of the processes that the demo started ended otherwise than with 0."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        return [
            f"the {name} process ended with code {code}" for name, code in codes.items() if code
        ]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        # A free port may be given to our own end; then we have found nobody but ourselves.
        return probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getsockname()[1] != port
