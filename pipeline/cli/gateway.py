"""`gateway key add | list | revoke`: who may connect to the gateway and to `/api/v1`. Floor 6.

A key is printed once, alone on stdout, so that it can be piped into a file or a password store; all
else goes to stderr. A running gateway takes what is changed here by itself.
"""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.configuration import read_config
from pipeline.core.clock import NS_PER_S, format_ist
from pipeline.core.config import Config
from pipeline.core.errors import PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.services.keys import KeyInfo, KeyStore, default_file

command = typer.Typer(no_args_is_help=True)
key = typer.Typer(no_args_is_help=True)
command.add_typer(key, name="key", help="API keys: add, list, revoke.")

_PIPED_WIDTH: Final = 160
_S_PER_HOUR: Final = 3600

File = Annotated[
    Path | None, typer.Option("--file", help="where keys are kept, if not in the default place")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="take \\[gateway] keys_file from this config"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


class BadUsage(PipelineError):
    """What was typed names no account or no key."""

    exit_code = ExitCode.USAGE


@key.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="who it is for: clients see it")],
    account: Annotated[
        str | None,
        typer.Option(
            "--account", "-a", metavar="A",
            help="the [\\[account]] whose owner's data it gives; not needed if --config has one",
        ),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, max=876_000, help="good for so long; else always")
    ] = None,
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make a key and print it: the only time that it is shown."""
    found = None if config is None else read_config(config)
    chosen = _account(found, account)
    store = _store(file, found)
    text = store.add(name, chosen, None if hours is None else hours * _S_PER_HOUR)
    key_id = text.partition(".")[0]
    if as_json:
        print(json.dumps({"key": text, "key_id": key_id, "name": name, "account": chosen}))
        return
    print(
        f"key {key_id} of {name}, for account {chosen}; it is shown this once. "
        f"To end it: python -m pipeline gateway key revoke {key_id}",
        file=sys.stderr,
    )
    print(text)


@key.command("list")
def list_keys(file: File = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """Show the keys that are good, without their secrets; pages' keys, too."""
    store = _store(file, None if config is None else read_config(config))
    keys = store.list()
    if as_json:
        print(json.dumps([info._asdict() for info in keys]))
    elif keys:
        print(_table(keys), end="")
    else:
        print(
            f"no keys in {store.file}: make one with: python -m pipeline gateway key add NAME -a A"
        )


@key.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="of the key, or its NAME")],
    file: File = None,
    config: ConfigFile = None,
) -> None:
    """End a key. Clients that came in with it are let go, too."""
    store = _store(file, None if config is None else read_config(config))
    info = _one(store, key_id)
    if not store.revoke(info.key_id):
        raise BadUsage(f"key {info.key_id}: somebody else revoked it just now")
    print(f"key {info.key_id} of {info.name}: revoked")


def _store(file: Path | None, config: Config | None) -> KeyStore:
    """Return the keys of `--file`, else of the config's gateway, else of this user."""
    gateway = None if config is None else config.gateway
    if file is None and config is not None and gateway is not None and gateway.keys_file:
        file = config.path(gateway.keys_file)
    return KeyStore(file or default_file())


def _account(config: Config | None, name: str | None) -> str:
    if config is None:
        if name is None:
            raise BadUsage("gateway key add: say for which account, with --account NAME")
        return name
    names = [account.name for account in config.accounts]
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        found = "no --account" if name is None else f"--account {name}"
        raise BadUsage(
            f"{found}: expected one of {', '.join(names) or 'none, there is no account'}"
        )
    return name


def _one(store: KeyStore, text: str) -> KeyInfo:
    """Return the key of an id, or the only one of a name."""
    keys = store.list()
    if text.partition(".")[0] in {info.key_id for info in keys}:
        # A whole key, pasted, is understood; it is not repeated.
        text = text.partition(".")[0]
    found = [info for info in keys if text in (info.key_id, info.name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BadUsage("no such key: `python -m pipeline gateway key list` shows ID and NAME")
    ids = ", ".join(info.key_id for info in found)
    raise BadUsage(f"{len(found)} keys are named {text}: give the ID of one: {ids}")


def _table(keys: tuple[KeyInfo, ...]) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ID", "NAME", "ACCOUNT", "MADE", "GOOD UNTIL"):
        table.add_column(heading, no_wrap=True)
    for info in keys:
        until = "it is revoked" if info.expires_s is None else _time(info.expires_s)
        table.add_row(info.key_id, info.name, info.account, _time(info.created_s), until)
    out = StringIO()
    terminal = sys.stdout.isatty()
    width = None if terminal else _PIPED_WIDTH
    console = Console(file=out, width=width, force_terminal=terminal, markup=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _time(at_s: int) -> str:
    return format_ist(at_s * NS_PER_S)[:16]
