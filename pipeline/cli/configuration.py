"""Load a config file with the brokers' limits. Floor 6: the place that knows both."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.brokers.registry import broker_limits, load_broker
from pipeline.cli.spot import StartingPrices
from pipeline.core.config import Config, load
from pipeline.instruments.configured import resolve_config
from pipeline.rest.own_limits import read_limits


def load_config(
    path: Path,
    *,
    read_secrets: bool = True,
    warnings: list[str] | None = None,
    ask_broker: bool = False,
) -> Config:
    """Return the checked config of a file, each instrument found; raise ConfigError.

    ask_broker: for what `atm` is, if the config says that; else the instrument list's prices are
    taken. What is worth a warning is added to `warnings`; without that it goes to stderr.
    """
    told: list[str] = []
    config = read_config(path, read_secrets=read_secrets)
    if any(subscription.forms for subscription in config.subscriptions):
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


def read_config(path: Path, *, read_secrets: bool = False) -> Config:
    """Return the checked config of a file, with instruments as they are written.

    A file of limits that it names is checked, too.
    """
    config = load(path, limits=broker_limits(), read_secrets=read_secrets)
    if config.broker_rest.limits_file is not None:
        shipped = load_broker("kite").rest_limits
        read_limits(config.path(config.broker_rest.limits_file), shipped)
    return config
