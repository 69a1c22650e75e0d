"""Load a config file with the brokers' limits. Floor 6: the place that knows both."""

from __future__ import annotations

from pathlib import Path

from pipeline.brokers.registry import broker_limits
from pipeline.core.config import Config, load


def load_config(path: Path, *, read_secrets: bool = True) -> Config:
    """Return the checked config of a file; raise ConfigError with every problem."""
    return load(path, limits=broker_limits(), read_secrets=read_secrets)
