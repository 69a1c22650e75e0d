"""The options that stand before any command. Floor 6."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.core.version import VERSION


def _print_version(wanted: bool) -> None:
    if wanted:
        # Not above: each command starts without what it does not need.
        from pipeline.core.layout import fingerprint, layout_version

        typer.echo(f"tickrail {VERSION}, layout {layout_version} ({fingerprint:016x})")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, and the layout of shared memory, and end.",
        ),
    ] = False,
) -> None:
    """Take what stands before a command."""
