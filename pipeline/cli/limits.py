"""`limits`: what a broker allows on WebSocket and REST, and who says so. Floor 6."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline.brokers.registry import load_broker
from pipeline.cli.configuration import read_config
from pipeline.core.rates import RestLimits
from pipeline.rest.own_limits import read_limits


def command(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="with its \\[broker_rest] limits_file"),
    ] = None,
    broker: Annotated[str, typer.Option(help="whose limits")] = "kite",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show the limits in force, and where each number comes from."""
    try:
        found = load_broker(broker)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    rest, file = found.rest_limits, None
    if config is not None:
        checked = read_config(config)
        if checked.broker_rest.limits_file is not None:
            file = checked.path(checked.broker_rest.limits_file)
            rest = read_limits(file, rest)
    websocket = dataclasses.asdict(found.limits)
    sources = websocket.pop("sources")
    figures = [(name, value, sources[name]) for name, value in websocket.items()]
    if as_json:
        print(json.dumps(_document(broker, figures, rest, file)))
        return
    console = Console(highlight=False, markup=False)
    console.print(_table(f"{broker}: WebSocket", figures))
    of_file = "" if file is None else f", with {file}"
    console.print(_table(f"{broker}: REST{of_file}", list(rest_figures(rest))))
    console.print(f"Documentation: {rest.documentation_url}", soft_wrap=True)


def rest_figures(limits: RestLimits) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and source of every number of REST; what has no limit is left out."""
    for endpoint, limit in limits.endpoints.items():
        for name, value in dataclasses.asdict(limit).items():
            source = limits.sources.get(f"{endpoint}.{name}")
            if source is not None:
                yield f"{endpoint}.{name}", value, source
    for call, size in limits.instruments_per_call.items():
        name = f"instruments_per_call.{call}"
        yield name, size, limits.sources[name]
    for name in ("day_starts", "wait_s_max"):
        value = getattr(limits, name)
        text = value if isinstance(value, float) else f"{value:%H:%M}"
        yield name, text, limits.sources[name]


def _document(
    broker: str, websocket: list[tuple[str, Any, str]], rest: RestLimits, file: Path | None
) -> dict[str, Any]:
    def rows(figures: list[tuple[str, Any, str]]) -> dict[str, dict[str, Any]]:
        return {name: {"value": value, "source": source} for name, value, source in figures}

    return {
        "broker": broker,
        "documentation_url": rest.documentation_url,
        "limits_file": None if file is None else str(file),
        "websocket": rows(websocket),
        "rest": rows(list(rest_figures(rest))),
    }


def _table(title: str, figures: list[tuple[str, Any, str]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("limit")
    table.add_column("value", justify="right")
    table.add_column("source", overflow="fold")
    for name, value, source in figures:
        shown = f"{value:,}" if isinstance(value, int) else f"{value}"
        table.add_row(name, shown, source)
    return table
