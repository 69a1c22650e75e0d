"""The config: `load` a file or `parse` a text into a frozen, fully checked `Config`. Floor 1."""

from __future__ import annotations

from pipeline.core.config.loading import load, parse
from pipeline.core.config.sections import (
    SIMULATOR_CONNECTION_HEADER,
    SIMULATOR_KEYS,
    SIMULATOR_URL,
    AccountConfig,
    BrokerRestConfig,
    Config,
    ConnectionConfig,
    DecoderConfig,
    FeedConfig,
    GatewayConfig,
    HoursConfig,
    InstanceConfig,
    InstrumentsConfig,
    PoolConfig,
    RingsConfig,
    SessionConfig,
    SimulatedRange,
    SimulatorConfig,
    StrategyConfig,
    SubscriptionConfig,
    SupervisorConfig,
)

__all__ = [
    "SIMULATOR_CONNECTION_HEADER",
    "SIMULATOR_KEYS",
    "SIMULATOR_URL",
    "AccountConfig",
    "BrokerRestConfig",
    "Config",
    "ConnectionConfig",
    "DecoderConfig",
    "FeedConfig",
    "GatewayConfig",
    "HoursConfig",
    "InstanceConfig",
    "InstrumentsConfig",
    "PoolConfig",
    "RingsConfig",
    "SessionConfig",
    "SimulatedRange",
    "SimulatorConfig",
    "StrategyConfig",
    "SubscriptionConfig",
    "SupervisorConfig",
    "load",
    "parse",
]
