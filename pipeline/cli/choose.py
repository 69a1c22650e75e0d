"""Which instance a command means: the one that was named, else the only one there is. Floor 6."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.core.errors import InstanceError, PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.names import DEFAULT_ROOT, INSTANCE_NAME, InstancePaths, user_directory

Instance = Annotated[str | None, typer.Argument(help="its name; not needed when there is only one")]
Directory = Annotated[
    Path, typer.Option("--shm-directory", help="where its segments are: instance.shm_directory")
]
DEFAULT_DIRECTORY: Final = DEFAULT_ROOT


class AmbiguousInstance(PipelineError):
    """There are several instances and none was named."""

    exit_code = ExitCode.USAGE


class BadInstanceName(PipelineError):
    """What was typed cannot be the name of an instance."""

    exit_code = ExitCode.USAGE


class NoInstance(InstanceError):
    """There is none at all, so none could be meant."""


def choose(name: str | None, root: Path) -> InstancePaths:
    """Return the paths of the named instance, or of the only one, running or crashed."""
    if name is not None:
        return InstancePaths(checked_name(name), root)
    names = instance_names(root)
    if not names:
        raise NoInstance(
            f"no instance is running, and none was left by a crash, in {user_directory(root)}; "
            "start one with: python -m pipeline run --config FILE"
        )
    if len(names) > 1:
        raise AmbiguousInstance(f"there are several instances, name one: {', '.join(names)}")
    return InstancePaths(names[0], root)


def checked_name(name: str) -> str:
    """Return the name if an instance may have it; raise BadInstanceName otherwise."""
    if not INSTANCE_NAME.fullmatch(name):
        raise BadInstanceName(
            f"instance name {name!r}: expected 1 to 32 of the characters a-z, 0-9 and -"
        )
    return name


def instance_names(root: Path) -> list[str]:
    """Return the names of all directories of instances of this user, also of broken ones."""
    return sorted(path.name for path in user_directory(root).glob("*") if path.is_dir())
