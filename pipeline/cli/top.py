"""`top`: watch an instance, twice a second. Floor 6; maps pages only, so it may be left running."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from typing import Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance, choose
from pipeline.cli.stat import document
from pipeline.cli.status_view import screen
from pipeline.core.errors import InstanceNotFound
from pipeline.core.exit_codes import ExitCode
from pipeline.services.status import InstanceStatus, snapshot
from pipeline.services.status.rates import rates
from pipeline.shm.names import InstancePaths

INTERVAL_S: Final = 0.5
#: Rates are over this many intervals: brokers send in bursts of a second.
_WINDOW: Final = 4


def command(
    instance: Instance = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="print what stat --json does, a line each half second"),
    ] = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Watch an instance until Ctrl-C; one look with rates when the output is not a terminal."""
    paths = choose(instance, shm_directory)
    console = Console(highlight=False)
    try:
        if as_json:
            _print_documents(paths)
        elif console.is_terminal:
            _watch(paths, console)
        else:
            _look(paths, console)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _print_documents(paths: InstancePaths) -> None:
    """Print a snapshot a line until the instance is gone or nobody reads any more."""
    status = snapshot(paths)
    while True:
        try:
            print(document(status), flush=True)
        except BrokenPipeError:
            # What is left in the buffer must not raise once more at the interpreter's end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
            return
        time.sleep(INTERVAL_S)
        try:
            status = snapshot(paths)
        except InstanceNotFound:
            return


def _look(paths: InstancePaths, console: Console) -> None:
    before = snapshot(paths)
    time.sleep(INTERVAL_S)
    after = snapshot(paths)
    console.print(screen(after, rates(before, after), _endless(after)))


def _endless(status: InstanceStatus) -> int:
    return 100 + len(status.connections) + len(status.readers) + len(status.processes)


def _watch(paths: InstancePaths, console: Console) -> None:
    seen = deque([snapshot(paths)], maxlen=_WINDOW + 1)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(INTERVAL_S)
            try:
                seen.append(snapshot(paths))
            except InstanceNotFound:
                break
            shown = screen(seen[-1], rates(seen[0], seen[-1]), console.height - 1)
            live.update(_with_hint(shown), refresh=True)
    console.print(f"{paths.name} has ended and is gone")


def _with_hint(shown: RenderableType) -> RenderableType:
    return Group(shown, Text("Ctrl-C ends", style="dim", justify="right"))
