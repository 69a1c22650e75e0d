"""Which instance a command means: the one that was named, else the only one there is. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.core.errors import InstanceNotFound, PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.names import DEFAULT_ROOT, InstancePaths, user_directory

Instance = Annotated[str | None, typer.Argument(help="its name; not needed when there is only one")]
Directory = Annotated[
    Path, typer.Option("--shm-directory", help="where its segments are: instance.shm_directory")
]
DEFAULT_DIRECTORY: Final = DEFAULT_ROOT


class AmbiguousInstance(PipelineError):
    """There are several instances and none was named."""

    exit_code = ExitCode.USAGE


def choose(name: str | None, root: Path) -> InstancePaths:
    """Return the paths of the named instance, or of the only one, running or crashed."""
    if name is not None:
        return InstancePaths(name, root)
    names = instance_names(root)
    if not names:
        raise InstanceNotFound("(any)")
    if len(names) > 1:
        raise AmbiguousInstance(f"there are several instances, name one: {', '.join(names)}")
    return InstancePaths(names[0], root)


def instance_names(root: Path) -> list[str]:
    """Return the names of all directories of instances of this user, also of broken ones."""
    return sorted(path.name for path in user_directory(root).glob("*") if path.is_dir())
