"""`config check | show | reference`: look at a config file without starting anything. Floor 6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.configuration import load_config, read_config
from pipeline.core.config import text
from pipeline.core.errors import ConfigError
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.plan import plan_memory

command = typer.Typer(no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="the config file", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@command.command()
def check(file: File, as_json: Json = False) -> None:
    """Read a file as `run` would, and list everything that is wrong with it."""
    try:
        config = load_config(file)
    except ConfigError as error:
        if not as_json:
            raise
        problems = [problem._asdict() for problem in error.problems]
        print(json.dumps({"ok": False, "file": error.source, "problems": problems}))
        raise typer.Exit(ExitCode.CONFIG) from None
    total_bytes = plan_memory(config).total_bytes
    instruments = sum(len(subscription.tokens) for subscription in config.subscriptions)
    if as_json:
        found = {"connections": len(config.connections), "instruments": instruments}
        print(json.dumps({"ok": True, "file": str(file), **found, "shm_bytes": total_bytes}))
        return
    count = len(config.connections)
    print(
        f"{file}: in order. Instance {config.instance.name}: "
        f"{count} connection{'s' if count != 1 else ''}, {instruments} instruments, "
        f"{total_bytes / 2**20:.1f} MiB of shared memory."
    )


@command.command()
def show(file: File, as_json: Json = False) -> None:
    """Print every value that is in force, the defaults too; secrets are references only."""
    config = read_config(file)
    print(json.dumps(text.as_dict(config)) if as_json else text.show(config), end="")
    if as_json:
        print()


@command.command()
def reference(
    markdown: Annotated[bool, typer.Option("--markdown", help="as a page")] = False,
    as_json: Json = False,
) -> None:
    """Print a commented file with every key there is."""
    if as_json:
        print(json.dumps(text.schema()))
        return
    print(text.markdown() if markdown else text.reference(), end="")
