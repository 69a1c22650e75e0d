"""`run`: the pipeline of a config file, until it is told to end. Floor 6."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

#: Before numpy is imported: the supervisor forks, and a pool of threads does not survive that.
_ONE_THREAD: Final = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def command(
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="what to run, as TOML")
    ],
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

    What happens is told on stderr. Attach with pipeline.attach(NAME), watch with `top NAME`.
    """
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    from pipeline.cli.starting import run_instance

    code = run_instance(
        config,
        run_s=seconds,
        exit_on_auth=exit_on_auth,
        log_level=log_level,
        log_format=log_format,
    )
    raise typer.Exit(code)
