"""Load a config file with the brokers' limits. Floor 6: the place that knows both."""

from __future__ import annotations

from pathlib import Path

from pipeline.brokers.registry import broker_limits, load_broker
from pipeline.core.config import Config, load
from pipeline.rest.own_limits import read_limits


def load_config(path: Path, *, read_secrets: bool = True) -> Config:
    """Return the checked config of a file; raise ConfigError with every problem.

    A file of limits that it names is checked, too.
    """
    config = load(path, limits=broker_limits(), read_secrets=read_secrets)
    if config.broker_rest.limits_file is not None:
        shipped = load_broker("kite").rest_limits
        read_limits(config.path(config.broker_rest.limits_file), shipped)
    return config
