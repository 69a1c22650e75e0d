"""`demo NAME`: an instance beside an example of `examples`, each in processes of its own.

Floor 6. The example is user code that attaches by name; the instance is an ordinary `run` of the
config beside it. Leaving ends both, also after an error or Ctrl-C, and removes what there was.
"""

from __future__ import annotations

import ast
import difflib
import os
import signal
from pathlib import Path
from typing import Final

from pipeline.cli.demo.folder import InFolder
from pipeline.cli.demo.stage import START_DEADLINE_S, wait_until
from pipeline.core.enums import InstanceState
from pipeline.core.errors import ConfigError, PipelineError, Problem, SegmentError
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

FOLDER: Final = Path(__file__).parents[3] / "examples" / "pool"
#: What the examples share, and the config of those that have none of their own.
_SHARED: Final = "show"
_CONFIG: Final = "pool.toml"
_NAME_LINE: Final = 'name = "pool"'
_END_DEADLINE_S: Final = 15.0
#: How long an example runs that takes its time from us, when nobody says.
END_SECONDS: Final = 10.0


def summaries() -> dict[str, str]:
    """Return {name: first line of its docstring} of every demo; raise when they are not here."""
    if not FOLDER.is_dir():
        raise PipelineError(
            "the demos by name are programs in examples/pool of the source, which an installed "
            "package does not have: run them from a checkout; `demo` alone works everywhere"
        )
    from pipeline.cli.demo import gateway

    paths = sorted(path for path in FOLDER.glob("*.py") if path.stem != _SHARED)
    return {**{path.stem: summary_of(path) for path in paths}, gateway.NAME: gateway.summary()}


def summary_of(path: Path) -> str:
    """Return the first line of a program's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def find(name: str) -> Path:
    """Return the program of a demo; raise ConfigError that names those that exist."""
    known = summaries()
    stem = name.replace("-", "_")
    if stem not in known:
        near = difflib.get_close_matches(stem, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "demo --list says what each shows"
        raise ConfigError("demo", [Problem("NAME", repr(name), f"one of {', '.join(known)}", hint)])
    from pipeline.cli.demo import gateway

    return gateway.PROGRAM if stem == gateway.NAME else FOLDER / f"{stem}.py"


def scene_of(name: str) -> Scene:
    """Return what a demo plays in; raise as `find` does, and for packages that it lacks."""
    from pipeline.cli.demo import gateway

    program = find(name)
    return gateway.GatewayScene() if program == gateway.PROGRAM else Scene(program)


def play(name: str, seconds: float | None) -> int:
    """Run a demo to its end, for `seconds` or as long as it takes by itself; return a code."""
    with scene_of(name) as scene:
        code = scene.play(seconds)
    return int(ExitCode.DONE if code == 0 else ExitCode.FAILED)


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
