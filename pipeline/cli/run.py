"""`run`: the pipeline of a config file, until it is told to end. Floor 6."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.supervisor.launch import ONE_THREAD


def command(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="as --config FILE")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="what to run, as TOML")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="a pool's sizes, under FILE; alone: simulated exchange"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="end in good order after so long")
    ] = None,
    exit_on_auth: Annotated[
        bool, typer.Option("--exit-on-auth", help="end with 77 when every token is rejected")
    ] = False,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; overrides the config")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="text or json; overrides the config")
    ] = None,
) -> None:
    """Run the pipeline of a config file. Ctrl-C or SIGTERM ends it in good order.

    What happens is told on stderr. Attach with pipeline.attach(NAME),
    watch with `top NAME`.
    """
    if file is not None and config is not None:
        raise typer.BadParameter(f"found two config files, {file} and {config}; one is run")
    os.environ.update(ONE_THREAD)
    from pipeline.cli.starting import run_instance

    code = run_instance(
        config if file is None else file,
        preset=preset,
        run_s=seconds,
        exit_on_auth=exit_on_auth,
        log_level=log_level,
        log_format=log_format,
    )
    raise typer.Exit(code)
