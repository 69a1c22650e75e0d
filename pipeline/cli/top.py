"""`top`: watch an instance, twice a second. Floor 6; maps pages only, so it may be left running."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance, choose
from pipeline.cli.standard_streams import discard_output
from pipeline.cli.stat import document
from pipeline.cli.status_view import screen
from pipeline.cli.top_pool import PoolFigures
from pipeline.core.errors import InstanceNotFound
from pipeline.core.exit_codes import ExitCode
from pipeline.services.control.timeline import Timeline
from pipeline.services.status import InstanceStatus, snapshot
from pipeline.services.status.recent import INTERVAL_S, Looks, take_look
from pipeline.shm.names import InstancePaths


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
    console = Console(highlight=False, markup=False)
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
            discard_output()
            return
        time.sleep(INTERVAL_S)
        try:
            status = snapshot(paths)
        except InstanceNotFound:
            return


class _Top:
    """What `top` shows of an instance: the looks, what has happened, what its pool says."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._looks = Looks()
        self._timeline = Timeline(paths)
        self._pool = PoolFigures(paths)
        self.status = self.look()

    def look(self) -> InstanceStatus:
        """Look once more; raise InstanceNotFound when it is gone."""
        look = take_look(self._paths)
        self.status, self._recent = look.status, self._looks.add(look)
        self._timeline.follow(one.number for one in look.status.connections)
        return look.status

    def shown(self, lines: int) -> RenderableType:
        """Return what fits so many lines."""
        happenings = self._timeline.after(0)
        return screen(self.status, self._recent, lines, self._pool.read(), happenings)


def _look(paths: InstancePaths, console: Console) -> None:
    top = _Top(paths)
    time.sleep(INTERVAL_S)
    top.look()
    console.print(top.shown(_endless(top.status)))


def _endless(status: InstanceStatus) -> int:
    return 200 + 5 * len(status.connections) + len(status.readers) + len(status.processes)


def _watch(paths: InstancePaths, console: Console) -> None:
    top = _Top(paths)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(INTERVAL_S)
            try:
                top.look()
            except InstanceNotFound:
                break
            live.update(_with_hint(top.shown(console.height - 1)), refresh=True)
    console.print(f"{paths.name} has ended and is gone")


def _with_hint(shown: RenderableType) -> RenderableType:
    return Group(shown, Text("Ctrl-C ends", style="dim", justify="right"))
