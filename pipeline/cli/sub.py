"""`sub add | rm | mode | list | clients`: what a pool streams, said by hand. Floor 6.

What is added here stays until it is removed here: it belongs to the client "cli" and not to the
process that said it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from pipeline.cli.choose import DEFAULT_DIRECTORY, Directory, Instance
from pipeline.cli.control import control_of
from pipeline.cli.pool_view import clients_table, refusals, subscriptions_table
from pipeline.core.control import MODES, Declare, Instrument, SetMode, Subscribe, Unsubscribe
from pipeline.core.errors import PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.strategy.forms import as_forms

command = typer.Typer(no_args_is_help=True)

_SHOWN_MAX: Final = 50
#: As in the files that a config names; NSE:#1594 is an instrument.
_COMMENT: Final = re.compile(r"(?<!:)#")

Name = Annotated[str, typer.Argument(help="the instance's name")]
Forms = Annotated[
    list[str], typer.Argument(help="NSE:INFY, 408065, ...; - reads standard input, a line each")
]
Mode = Annotated[str, typer.Option(help=f"one of {', '.join(MODES)}")]
Owner = Annotated[
    str | None, typer.Option(help="on whose connections, when accounts have several owners")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


class BadUsage(PipelineError):
    """What was typed cannot be meant."""

    exit_code = ExitCode.USAGE


@command.command()
def add(
    instance: Name,
    instruments: Forms,
    mode: Mode = "quote",
    partial: Annotated[
        bool, typer.Option("--partial", help="take what there is room for; else all or nothing")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be")] = False,
    priority: Annotated[str, typer.Option(help="critical, hot, warm or cold")] = "warm",
    account: Annotated[str | None, typer.Option(help="only there")] = None,
    connection: Annotated[int | None, typer.Option(min=0, help="only there")] = None,
    group: Annotated[str | None, typer.Option(help="all of a group on one connection")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="forms with atm move with their underlying")
    ] = False,
    owner: Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Subscribe to instruments, or give them another mode."""
    request = Subscribe(
        instruments=_forms(instruments), mode=_mode(mode), partial=partial, dry_run=dry_run,
        priority=priority, account=account, connection=connection, group=group, follow=follow,
    )  # fmt: skip
    with control_of(instance, shm_directory, durable=True, owner=owner, as_json=as_json) as control:
        answer = control.request(request)
    _tell(answer, "would be subscribed" if dry_run else "subscribed", as_json=as_json)


@command.command()
def rm(
    instance: Name,
    instruments: Annotated[
        list[str] | None, typer.Argument(help="as for add; - reads them from standard input")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="all that was subscribed to by hand")
    ] = False,
    owner: Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Unsubscribe from instruments that were subscribed to by hand; others may go on with them."""
    if everything == bool(instruments):
        raise BadUsage("sub rm: name instruments, or use --all")
    with control_of(instance, shm_directory, durable=True, owner=owner, as_json=as_json) as control:
        if everything:
            control.request(Declare(wants={}))
            answer = None
        else:
            answer = control.request(Unsubscribe(instruments=_forms(instruments or [])))
    if as_json:
        print(json.dumps(answer))
    elif answer is None:
        print("everything that was subscribed to by hand is given up")
    else:
        print(f"{answer['removed']} of {answer['requested']} instruments are given up")
    unknown = (answer or {}).get("refused") or []
    if unknown and not as_json:
        for refusal in unknown:
            print(refusal["text"])
    if unknown:
        raise typer.Exit(ExitCode.FAILED)


@command.command("mode")
def set_mode(
    instance: Name,
    mode: Annotated[str, typer.Argument(help=f"one of {', '.join(MODES)}")],
    instruments: Forms,
    owner: Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Give instruments that were subscribed to by hand another mode."""
    request = SetMode(instruments=_forms(instruments), mode=_mode(mode))
    with control_of(instance, shm_directory, durable=True, owner=owner, as_json=as_json) as control:
        answer = control.request(request)
    _tell(answer, f"in mode {mode}", as_json=as_json)


@command.command("list")
def list_(
    instance: Instance = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"more than the first {_SHOWN_MAX}, too")
    ] = False,
    orphaned: Annotated[
        bool, typer.Option("--orphaned", help="only what nobody delivers at present")
    ] = False,
    owner: Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """List what is wanted, on which connection it is, and who wants it."""
    with control_of(instance, shm_directory, owner=owner, as_json=as_json) as control:
        rows: list[dict[str, Any]] = control.ask("subscriptions")
    if orphaned:
        rows = [row for row in rows if row["orphaned"]]
    if as_json:
        print(json.dumps(rows))
        return
    console = Console(highlight=False, markup=False)
    if not rows:
        console.print("nothing is orphaned" if orphaned else "nothing is wanted")
        return
    shown = rows if everything else rows[:_SHOWN_MAX]
    console.print(subscriptions_table(shown, console.width))
    if len(shown) < len(rows):
        count = f"{len(rows)} {'orphaned' if orphaned else 'wanted'}"
        console.print(f"{count}, {len(shown)} shown: --all shows the rest")


@command.command()
def clients(
    instance: Instance = None,
    owner: Owner = None,
    as_json: Json = False,
    shm_directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """List who wants how much, and who of them is there."""
    with control_of(instance, shm_directory, owner=owner, as_json=as_json) as control:
        rows: list[dict[str, Any]] = control.ask("clients")
    if as_json:
        print(json.dumps(rows))
    else:
        console = Console(highlight=False, markup=False)
        console.print(clients_table(rows, console.width))


def _forms(words: list[str]) -> list[Instrument]:
    if words == ["-"]:
        words = _words(sys.stdin.read())
    try:
        return as_forms(words)
    except ValueError as error:
        raise BadUsage(str(error)) from None


def _words(text: str) -> list[str]:
    """Return the instruments of lines; several in one line are told apart as far as that goes."""
    found: list[str] = []
    for line in text.splitlines():
        own: list[str] = []
        for word in _COMMENT.split(line, maxsplit=1)[0].split():
            if not own or ":" in word or own[-1].isdecimal():
                own.append(word)
            else:
                own[-1] += f" {word}"  # NSE:NIFTY 50: blanks belong to the symbol
        found += own
    return found


def _mode(word: str) -> str:
    if word not in MODES:
        raise BadUsage(f"mode {word[:40]!r}: expected {', '.join(MODES)}")
    return word


def _tell(answer: dict[str, Any], done: str, *, as_json: bool) -> None:
    refused = answer.get("refused") or []
    if as_json:
        print(json.dumps(answer))
    else:
        already = answer.get("already", 0)
        known = f", {already} of them already" if already else ""
        print(f"{answer['accepted']} of {answer['requested']} instruments {done}{known}")
        for line in refusals(refused, answer.get("refused_count", len(refused))):
            print(line)
        for line in _planned(answer.get("plan")):
            print(line)
    if refused:
        raise typer.Exit(ExitCode.FAILED)


def _planned(plan: dict[str, Any] | None) -> list[str]:
    if not plan:
        return []
    lines = _places(plan)
    if mirrors := plan.get("mirrors"):
        lines += [f"mirrored: {line}" for line in _places(mirrors)]
        if mirrors["refused"]:
            lines.append(f"{mirrors['refused']} have no room for a mirror")
    return lines


def _places(plan: dict[str, Any]) -> list[str]:
    lines = [f"{count} on connection {number}" for number, count in plan["connections"].items()]
    return lines + [
        f"{new['instruments']} on a new connection of account {new['account']}"
        for new in plan["opened"]
    ]


def dry_run(
    request: Subscribe, instance: str | None, root: Path, *, owner: str | None, as_json: bool
) -> None:
    """Print what a subscription would come to."""
    with control_of(instance, root, owner=owner, as_json=as_json) as control:
        answer = control.request(request)
    _tell(answer, "would be subscribed", as_json=as_json)


def subscription(instruments: list[str], mode: str) -> Subscribe:
    """Return the subscription that was typed, as a dry run that takes what there is room for."""
    return Subscribe(instruments=_forms(instruments), mode=_mode(mode), partial=True, dry_run=True)
