"""`clean`: remove what crashed instances left; never touches one that is alive. Floor 6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance, choose, instance_names
from pipeline.cli.figures import mebibytes
from pipeline.core.errors import InstanceRunning
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.instance import clean_instance, not_found
from pipeline.shm.names import InstancePaths


def command(
    instance: Instance = None,
    everything: Annotated[
        bool, typer.Option("--all", help="every instance of this user that is not alive")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Remove the shared memory of an instance that crashed; refuse a live one with its pid."""
    if everything and instance is not None:
        raise typer.BadParameter("name an instance or use --all, not both")
    if everything:
        cleaned, alive = _clean_all(shm_directory)
    else:
        cleaned, alive = [_clean(choose(instance, shm_directory))], []
    if as_json:
        print(json.dumps({"cleaned": [{"name": n, "shm_bytes": b} for n, b in cleaned],
                          "alive": [{"name": e.name, "pid": e.pid} for e in alive]}))  # fmt: skip
        return
    for name, size in cleaned:
        print(f"{name}: removed, {mebibytes(size)} freed")
    for error in alive:
        print(f"{error.name}: left alone, it runs as process {error.pid}")
    if not cleaned and not alive:
        print("nothing to clean")
    raise typer.Exit(ExitCode.DONE)


def _clean_all(root: Path) -> tuple[list[tuple[str, int]], list[InstanceRunning]]:
    cleaned, alive = [], []
    for name in instance_names(root):
        try:
            cleaned.append(_clean(InstancePaths(name, root)))
        except InstanceRunning as error:
            alive.append(error)
    return cleaned, alive


def _clean(paths: InstancePaths) -> tuple[str, int]:
    if not paths.directory.exists():
        raise not_found(paths.name, paths.root)
    size = sum(path.stat().st_blocks * 512 for path in paths.directory.rglob("*"))
    clean_instance(paths)
    return paths.name, size
