"""The API keys that a pool has, of its config. Floor 4; pure."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.core.config import Config


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, by the first account that has it; `index` is that account's position."""

    account: str
    index: int
    broker: str
    connections_max: int
    instruments_per_connection: int


def keys_of(config: Config, owner: str | None = None) -> list[Key]:
    """Return a key per API key of a config with a pool, or of one owner in it."""
    pool = config.pool
    assert pool is not None and pool.connections_per_key is not None
    assert pool.instruments_per_connection is not None
    found: dict[tuple[str, str], Key] = {}
    for index, account in enumerate(config.accounts):
        if owner not in (None, account.owner):
            continue
        key = Key(
            account.name, index, account.broker,
            pool.connections_per_key, pool.instruments_per_connection,
        )  # fmt: skip
        found.setdefault((account.broker, account.api_key), key)
    return list(found.values())
