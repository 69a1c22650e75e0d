"""`pool stats | health | plan | rebalance | scale | recycle | drain`. Floor 6.

What is shown comes from the control process; `stat` and `top` show an instance without it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console

from pipeline.cli import sub
from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance
from pipeline.cli.control import control_of
from pipeline.cli.pool_view import health_view, stats_view
from pipeline.core.control import AUTOMATIC, Act
from pipeline.core.exit_codes import ExitCode

command = typer.Typer(no_args_is_help=True)

_DIGITS_MAX: Final = 9

Name = Annotated[str, typer.Argument(help="the instance's name")]
Number = Annotated[int, typer.Argument(min=0, help="the connection's number, as stat has it")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@command.command()
def stats(
    instance: Instance = None,
    account: Annotated[str | None, typer.Option(help="only of this account")] = None,
    owner: sub.Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Show accounts and connections: what they carry, how full and how well they are."""
    with control_of(instance, shm_directory, owner=owner, as_json=as_json) as control:
        found: dict[str, Any] = control.ask("stats", account=account)
    if as_json:
        print(json.dumps(found))
        return
    accounts = {account: found} if account is not None else found["accounts"]
    console = Console(highlight=False, markup=False)
    console.print(stats_view(accounts, found.get("pool"), console.width))


@command.command()
def health(
    instance: Instance = None,
    check: Annotated[
        bool, typer.Option("--check", help="exit code 1 unless the pool is healthy")
    ] = False,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Show how well the pool is: score, connections that are not well, open alerts."""
    with control_of(instance, shm_directory, as_json=as_json) as control:
        found: dict[str, Any] = control.ask("health")
    if as_json:
        print(json.dumps(found))
    else:
        Console(highlight=False, markup=False).print(health_view(found))
    if check and not found["is_healthy"]:
        raise typer.Exit(ExitCode.FAILED)


@command.command()
def plan(
    instance: Name,
    instruments: Annotated[
        list[str] | None, typer.Argument(help="what to place; without it, a rebalance")
    ] = None,
    mode: sub.Mode = "quote",
    owner: sub.Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Say where instruments would go, or what a rebalance would move; do nothing."""
    if instruments:
        request = sub.subscription(instruments, mode)
        sub.dry_run(request, instance, shm_directory, owner=owner, as_json=as_json)
    else:
        act = Act(action="rebalance", dry_run=True)
        _act(instance, shm_directory, act, owner=owner, as_json=as_json)


@command.command()
def rebalance(
    instance: Instance = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move")] = False,
    owner: sub.Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Move instruments until the connections are in balance; none is lost on the way."""
    request = Act(action="rebalance", dry_run=dry_run)
    _act(instance, shm_directory, request, owner=owner, as_json=as_json)


@command.command()
def scale(
    instance: Name,
    connections: Annotated[
        str, typer.Argument(help="how many there shall be; auto: as many as are needed")
    ],
    owner: sub.Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Open or close connections until there are so many, and keep at least these."""
    request = Act(action="scale", connections=_count(connections))
    _act(instance, shm_directory, request, owner=owner, as_json=as_json)


@command.command()
def recycle(
    instance: Name,
    connection: Annotated[
        int | None, typer.Argument(min=0, help="the connection's number, as stat has it")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="instead of a number: all of this account, one by one")
    ] = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Replace a connection by a new one that carries the same."""
    if (connection is None) == (account is None):
        raise sub.BadUsage("pool recycle: name a connection by its number, or an --account")
    request = Act(action="recycle", connection=connection, account=account)
    _act(instance, shm_directory, request, as_json=as_json)


@command.command()
def drain(
    instance: Name,
    connection: Number,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Move everything off a connection and close it."""
    _act(instance, shm_directory, Act(action="drain", connection=connection), as_json=as_json)


def _count(word: str) -> int | Literal["auto"]:
    if word == AUTOMATIC:
        return "auto"
    if not (word.isascii() and word.isdecimal() and len(word) <= _DIGITS_MAX):
        raise sub.BadUsage(f'{word[:40]!r}: expected a number of connections, or "{AUTOMATIC}"')
    return int(word)


def _act(
    instance: str | None, root: Path, request: Act, *, as_json: bool, owner: str | None = None
) -> None:
    with control_of(instance, root, owner=owner, as_json=as_json) as control:
        answer: dict[str, Any] = control.request(request)
    if as_json:
        print(json.dumps(answer))
        return
    print(answer["text"])
    for row in answer["planned"]:
        print(f"  {row['instruments']} from connection {row['from']} to {row['to']}")
    if not answer["done"]:
        print("nothing was done: this was a dry run")
