"""Every section of a config file and every key in it, with its default, bounds and meaning.

Floor 1. These are the raw values, as the file gives them; what follows from them together (who
gets which instrument, how large each segment is) is in `pipeline.core.plan`. All are frozen, so
that the children inherit by fork exactly what was checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.config.fields import FreeTable, table, tables
from pipeline.core.config.market import (
    AccountConfig,
    BrokerRestConfig,
    ConnectionConfig,
    InstrumentsConfig,
    SessionConfig,
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
from pipeline.core.config.services import ApiConfig, GatewayConfig, PoolConfig, ZeroMqConfig
from pipeline.core.secrets import SecretReference, parse_reference

#: What the supervisor hosts where there is a [zeromq] section.
BRIDGE_ENTRY: Final = "pipeline.services.bridge.hosted:Bridge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole file, checked. Paths in it are relative to `folder`."""

    instance: InstanceConfig = table(InstanceConfig, "")
    session: SessionConfig = table(SessionConfig, "")
    accounts: tuple[AccountConfig, ...] = tables(AccountConfig, "", name="account")
    connections: tuple[ConnectionConfig, ...] = tables(ConnectionConfig, "", name="connection")
    subscriptions: tuple[SubscriptionConfig, ...] = tables(
        SubscriptionConfig, "", name="subscription"
    )
    instruments: InstrumentsConfig = table(InstrumentsConfig, "")
    strategies: tuple[StrategyConfig, ...] = tables(StrategyConfig, "", name="strategy")
    feed: FeedConfig = table(FeedConfig, "")
    decoder: DecoderConfig = table(DecoderConfig, "")
    rings: RingsConfig = table(RingsConfig, "")
    pool: PoolConfig | None = table(PoolConfig, "", optional=True, excludes=True)
    api: ApiConfig | None = table(ApiConfig, "", optional=True, excludes=True)
    gateway: GatewayConfig | None = table(GatewayConfig, "", optional=True, excludes=True)
    zeromq: ZeroMqConfig | None = table(ZeroMqConfig, "", optional=True)
    supervisor: SupervisorConfig = table(SupervisorConfig, "")
    broker_rest: BrokerRestConfig = table(BrokerRestConfig, "")
    simulator: SimulatorConfig | None = table(SimulatorConfig, "", optional=True)
    source: str = "(no file)"
    folder: Path = Path()

    def account(self, name: str) -> AccountConfig:
        """Return the account of that name; KeyError when there is none."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise KeyError(name)

    @property
    def has_names(self) -> bool:
        """Whether it names instruments that are to be looked up yet."""
        mirrored = self.pool.mirror_names if self.pool is not None else ()
        return bool(mirrored) or any(subscription.forms for subscription in self.subscriptions)

    @property
    def owners(self) -> tuple[str, ...]:
        """Return whose accounts there are, in the order of the file."""
        return tuple(dict.fromkeys(account.owner for account in self.accounts))

    def owner_of(self, subscription: SubscriptionConfig) -> str | None:
        """Return for whom a subscription is; None if it does not say and could be for several."""
        number = subscription.connection
        if subscription.owner is None and number is not None and number < len(self.connections):
            names = {account.name: account.owner for account in self.accounts}
            return names.get(self.connections[number].account)
        if subscription.owner is None and len(self.owners) == 1:
            return self.owners[0]
        return subscription.owner

    def decoders_of(self, owner: str) -> range:
        """Return the decoders that an owner's connections may have, in a pool.

        Connections of different owners share none, so that each owner's instruments are told
        apart from the same ones of another: every owner has every so many'th decoder.
        """
        return range(self.owners.index(owner), self.decoder.count, len(self.owners))

    def secret(self, account: AccountConfig) -> SecretReference:
        """Return where an account's token is kept; for a simulated exchange it is the key."""
        if account.access_token is None:
            return SecretReference("key", account.api_key)
        return parse_reference(account.access_token, self.folder)

    @property
    def hosted(self) -> tuple[StrategyConfig, ...]:
        """All that the supervisor hosts: the strategies, and behind them the ZeroMQ bridge."""
        bridge = self.zeromq
        if bridge is None:
            return self.strategies
        params = FreeTable(
            endpoint=bridge.endpoint,
            owner=bridge.owner or self.owners[0],
            user=bridge.user,
            high_water_mark=bridge.high_water_mark,
        )
        return (*self.strategies, StrategyConfig(name="zeromq", entry=BRIDGE_ENTRY, params=params))

    @property
    def instruments_file(self) -> Path | None:
        """Return the instrument list that the config names, None for the usual one."""
        name = self.instruments.file
        return None if name is None else self.path(name)

    def path(self, relative: str) -> Path:
        """Return a path of the file as one that can be opened."""
        return self.folder / relative
