"""Load a config file with the brokers' limits. Floor 6: the place that knows both."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from pipeline.brokers.registry import broker_limits, load_broker
from pipeline.cli.spot import StartingPrices
from pipeline.core.config import Config, parse, presets
from pipeline.core.config.loading import read_text
from pipeline.instruments.configured import resolve_config
from pipeline.rest.own_limits import read_limits


def load_config(
    path: Path | None,
    *,
    preset: str | None = None,
    read_secrets: bool = True,
    warnings: list[str] | None = None,
    ask_broker: bool = False,
) -> Config:
    """Return the checked config of a file, each instrument found; raise ConfigError.

    preset: the name of one, under the file; without a file it runs on the simulated exchange.
    ask_broker: for what `atm` is, if the config says that; else the instrument list's prices are
    taken. What is worth a warning is added to `warnings`; without that it goes to stderr.
    """
    told: list[str] = []
    config = read_config(path, preset=preset, read_secrets=read_secrets)
    if config.has_names:
        prices = StartingPrices(config, told) if ask_broker else None
        try:
            config = resolve_config(config, warnings=told, spot=prices)
        finally:
            if prices is not None:
                prices.close()
    if warnings is not None:
        warnings += told
    else:
        for line in told:
            print(f"warning: {line}", file=sys.stderr)
    return config


def read_config(
    path: Path | None, *, preset: str | None = None, read_secrets: bool = False
) -> Config:
    """Return the checked config of a file, with instruments as they are written.

    A file of limits that it names is checked, too. To name neither a file nor a preset is a
    mistake in the command line.
    """
    text, source = written(path, preset)
    config = parse(
        text, source=source, folder=Path() if path is None else path.parent,
        limits=broker_limits(), read_secrets=read_secrets, preset=preset,
    )  # fmt: skip
    if config.broker_rest.limits_file is not None:
        shipped = load_broker("kite").rest_limits
        read_limits(config.path(config.broker_rest.limits_file), shipped)
    return config


def written(path: Path | None, preset: str | None) -> tuple[str, str]:
    """Return the text of a config and what it is called; a preset needs no file."""
    if path is not None:
        return read_text(path), str(path)
    if preset is None:
        raise typer.BadParameter("give a config file; or --preset NAME, and it is a pool's")
    return presets.WITHOUT_FILE, f"preset {preset}"
