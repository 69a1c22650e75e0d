"""Load a config file with the brokers' limits. Floor 6: the place that knows both."""

from __future__ import annotations

from pathlib import Path

from pipeline.brokers.registry import BROKERS, load_broker
from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import Config, load


def broker_limits() -> dict[str, BrokerLimits]:
    """Return the limits of every broker by name."""
    limits = {name: load_broker(name).limits for name in BROKERS}
    return {
        name: BrokerLimits(found.instruments_per_connection, found.connections_per_key)
        for name, found in limits.items()
    }


def load_config(path: Path, *, read_secrets: bool = True) -> Config:
    """Return the checked config of a file; raise ConfigError with every problem."""
    return load(path, limits=broker_limits(), read_secrets=read_secrets)
