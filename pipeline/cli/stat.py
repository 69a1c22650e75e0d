"""`stat`: an instance's counters, live or dead, from outside. Floor 6."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance, choose
from pipeline.cli.status_view import whole
from pipeline.core.exit_codes import ExitCode
from pipeline.services.status import InstanceStatus, problems, snapshot


def command(
    instance: Instance = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    healthy: Annotated[
        bool, typer.Option("--healthy", help="print only what is wrong; exit code 1 if anything is")
    ] = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Show an instance's processes, connections, accounts and readers; works after a crash too."""
    status = snapshot(choose(instance, shm_directory))
    wrong = problems(status)
    if as_json:
        print(document(status))
    elif healthy:
        print("\n".join(wrong) or f"{status.name} is healthy")
    else:
        Console(highlight=False, markup=False).print(whole(status))
    if healthy and wrong:
        raise typer.Exit(ExitCode.FAILED)


def document(status: InstanceStatus) -> str:
    """Return a snapshot as one line of JSON: every counter, and what is wrong now."""
    wrong = problems(status)
    return json.dumps({**status.as_dict(), "healthy": not wrong, "problems": wrong})
