"""The config: `load` a file or `parse` a text into a frozen, fully checked `Config`. Floor 1."""

from __future__ import annotations

from pipeline.core.config.loading import load, parse
from pipeline.core.config.market import (
    AccountConfig,
    BrokerRestConfig,
    ConnectionConfig,
    HoursConfig,
    InstrumentsConfig,
    SessionConfig,
    SimulatedRange,
    SubscriptionConfig,
)
from pipeline.core.config.roles import (
    DecoderConfig,
    FeedConfig,
    InstanceConfig,
    RingsConfig,
    SimulatorConfig,
    StrategyConfig,
    SupervisorConfig,
)
from pipeline.core.config.sections import Config
from pipeline.core.config.services import GatewayConfig, PoolConfig
from pipeline.core.config.terms import (
    DEFAULT_OWNER,
    SIMULATOR_CONNECTION_HEADER,
    SIMULATOR_KEYS,
    SIMULATOR_URL,
)

__all__ = [
    "DEFAULT_OWNER",
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
