"""What a demo by name plays in: an instance, and beside it an example of `examples`. Floor 6.

Each runs in a process of its own. The example is user code that attaches by name; the instance is
an ordinary `run` of the config beside it. Leaving ends both, also after an error or Ctrl-C, and
removes what there was.
"""

from __future__ import annotations

import ast
import os
import signal
from pathlib import Path
from typing import Final

from pipeline.cli.demo.folder import InFolder
from pipeline.cli.demo.stage import START_DEADLINE_S, wait_until
from pipeline.core.enums import InstanceState
from pipeline.core.errors import PipelineError, SegmentError
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

#: How long an example runs that takes its time from us, when nobody says.
END_SECONDS: Final = 10.0

#: The config of the examples that have none of their own.
_CONFIG: Final = "pool.toml"
_NAME_LINE: Final = 'name = "pool"'
_END_DEADLINE_S: Final = 15.0


def summary_of(path: Path) -> str:
    """Return the first line of a program's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


class Scene(InFolder):
    """A context: inside it the instance of an example runs."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self.paths = InstancePaths(f"demo-{os.getpid()}")
        self._instance: Launched | None = None
        self._example: Launched | None = None

    # ---- what another kind of scene does otherwise ---------------------------------------------

    def config_text(self) -> str:
        """Return the config of the instance."""
        return config_text(self._program, self.paths.name)

    def line(self, seconds: float | None) -> list[str]:
        """Return the example's command line."""
        line = [str(self._program), self.paths.name]
        return line if seconds is None else [*line, f"{seconds:g}"]

    def environment(self) -> dict[str, str]:
        """Return what the example's environment has besides ours."""
        return {}

    def _start(self) -> None:
        config = self.folder / "demo.toml"
        config.write_text(self.config_text())
        with self._log.open("wb") as log:
            self._instance = launch(
                ["-m", "pipeline", "run", "--config", str(config), "--log-level", "error"],
                die_with_parent=signal.SIGTERM, stdout=log, stderr=log,
            )  # fmt: skip
        wait_until(self._is_running, deadline_s=START_DEADLINE_S, what="the pipeline to start")

    @property
    def _log(self) -> Path:
        return self.folder / "run.log"

    # ---- what all share ------------------------------------------------------------------------

    def _is_running(self) -> bool:
        self.require_alive()
        try:
            return InstanceView(self.paths).read().state is InstanceState.RUNNING
        except (FileNotFoundError, SegmentError):
            return False

    def require_alive(self) -> None:
        """Raise PipelineError with what the instance said, if it has ended."""
        assert self._instance is not None
        if self._instance.poll() is not None:
            said = self._log.read_text(errors="replace")[-4000:].strip()
            raise PipelineError(
                f"the pipeline ended with {self._instance.returncode}; it said:\n{said}"
            )

    def play(self, seconds: float | None) -> int:
        """Run the example to its end, and return its exit code."""
        self._example = launch(
            self.line(seconds), die_with_parent=signal.SIGKILL, environment=self.environment()
        )
        return self._example.wait()

    def _end(self) -> None:
        if self._example is not None and self._example.poll() is None:
            self._example.kill()
        if self._instance is not None and self._instance.poll() is None:
            self._instance.terminate()
        for process in filter(None, (self._example, self._instance)):
            wait_or_kill(process, _END_DEADLINE_S)


def config_text(program: Path, name: str) -> str:
    """Return the config beside a program, with another name for the instance."""
    own = program.with_suffix(".toml")
    path = own if own.is_file() else program.with_name(_CONFIG)
    return path.read_text(encoding="utf-8").replace(_NAME_LINE, f'name = "{name}"', 1)
