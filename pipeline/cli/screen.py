"""`screen`: an address that lets a browser in, once. Floor 6.

It is printed and nothing else: opening a browser from here would put it on a command line, which
everybody on this machine can read.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance
from pipeline.cli.control import control_of
from pipeline.core.control import Act


def command(
    instance: Instance = None,
    account: Annotated[
        str | None, typer.Option(help="show its owner's part alone; without it everything")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Print the address of an instance's page; it is good once, and for a few minutes."""
    with control_of(instance, shm_directory) as control:
        found: dict[str, Any] = control.request(Act(action="enter", account=account))
    if as_json:
        print(json.dumps(found))
        return
    print(found["url"])
    typer.echo(f"good once, for {found['expires_in_s'] // 60} minutes", err=True)
