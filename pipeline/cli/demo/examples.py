"""`demo NAME`: which programs of `examples` there are by name, and playing one. Floor 6."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

from pipeline.cli.demo import gateway
from pipeline.cli.demo.scene import Scene, summary_of
from pipeline.core.errors import ConfigError, PipelineError, Problem
from pipeline.core.exit_codes import ExitCode

FOLDER: Final = Path(__file__).parents[3] / "examples" / "pool"
#: What the examples share.
_SHARED: Final = "show"


def summaries() -> dict[str, str]:
    """Return {name: first line of its docstring} of every demo; raise when they are not here."""
    if not FOLDER.is_dir():
        raise PipelineError(
            "the demos by name are programs in examples/pool of the source, which an installed "
            "package does not have: run them from a checkout; `demo` alone works everywhere"
        )
    paths = sorted(path for path in FOLDER.glob("*.py") if path.stem != _SHARED)
    return {**{path.stem: summary_of(path) for path in paths}, gateway.NAME: gateway.summary()}


def find(name: str) -> Path:
    """Return the program of a demo; raise ConfigError that names those that exist."""
    known = summaries()
    stem = name.replace("-", "_")
    if stem not in known:
        near = difflib.get_close_matches(stem, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "demo --list says what each shows"
        raise ConfigError("demo", [Problem("NAME", repr(name), f"one of {', '.join(known)}", hint)])
    return gateway.PROGRAM if stem == gateway.NAME else FOLDER / f"{stem}.py"


def scene_of(name: str) -> Scene:
    """Return what a demo plays in; raise as `find` does, and for packages that it lacks."""
    program = find(name)
    return gateway.GatewayScene() if program == gateway.PROGRAM else Scene(program)


def play(name: str, seconds: float | None) -> int:
    """Run a demo to its end, for `seconds` or as long as it takes by itself; return a code."""
    with scene_of(name) as scene:
        code = scene.play(seconds)
    return int(ExitCode.DONE if code == 0 else ExitCode.FAILED)
