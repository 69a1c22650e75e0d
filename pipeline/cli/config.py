"""`config check | show | presets | reference`: configs, without starting anything. Floor 6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.configuration import load_config, read_config, written
from pipeline.core.config import presets, text
from pipeline.core.config.loading import read_table
from pipeline.core.errors import ConfigError
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.plan import plan_memory

command = typer.Typer(no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="the config file", metavar="FILE")]
Preset = Annotated[str | None, typer.Option(metavar="NAME", help="what lies under the file")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@command.command()
def check(file: File, preset: Preset = None, as_json: Json = False) -> None:
    """Read a file as `run` would, and list everything that is wrong with it."""
    try:
        config = load_config(file, preset=preset)
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
def show(
    file: Annotated[
        Path | None, typer.Argument(help="the config file; with a preset not needed")
    ] = None,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Print every value that is in force, the defaults too; secrets are references only.

    With a preset, behind each value that is no default whether it is the file's or the preset's.
    """
    config = read_config(file, preset=preset)
    origins = {}
    if preset is not None:
        table = read_table(*written(file, preset))
        origins = presets.origins(preset, table, "the file" if file else "without a file")
    if as_json:
        told = {"origins": origins} if preset is not None else {}
        print(json.dumps({**text.as_dict(config), **told}))
        return
    print(text.show(config, origins), end="")


@command.command("presets")
def list_presets(as_json: Json = False) -> None:
    """Print the presets: what each is for."""
    found = presets.summaries()
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, about in found.items():
        print(f"{name:{width}}  {about}")


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
