"""What the subscriptions of a config without a pool ask of its connections. Floor 1; pure."""

from __future__ import annotations

from pipeline.core.capacity import Demand
from pipeline.core.config.sections import Config


def demands_of(config: Config) -> list[Demand]:
    """Return a demand per subscription, for the connections that its owner's accounts have."""
    if len(config.owners) < 2:
        return [Demand(s.tokens, s.mode, s.connection) for s in config.subscriptions]
    owners = {account.name: account.owner for account in config.accounts}
    carriers = [owners.get(connection.account) for connection in config.connections]
    own = {
        owner: frozenset(n for n, carrier in enumerate(carriers) if carrier == owner)
        for owner in config.owners
    }
    return [
        Demand(s.tokens, s.mode, s.connection, own.get(config.owner_of(s) or ""))
        for s in config.subscriptions
    ]
