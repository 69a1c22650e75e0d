"""What must hold between a pool's keys about placement. Floor 1."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.core.config.fields import shorten
from pipeline.core.config.sections import Config
from pipeline.core.config.services import PoolConfig
from pipeline.core.config.terms import PRIORITIES
from pipeline.core.errors import Problem


def check_placement(config: Config) -> list[Problem]:
    """Return every problem between the keys that say where instruments go."""
    pool = config.pool
    if pool is None:
        return [*_without_pool(config)]
    return [
        *_spread(pool), *_routes(config, pool), *_pins(config, pool), *_mirror(config, pool),
    ]  # fmt: skip


def _without_pool(config: Config) -> Iterator[Problem]:
    for number, subscription in enumerate(config.subscriptions):
        for name, usual in (("account", None), ("group", None), ("priority", "warm")):
            value = getattr(subscription, name)
            if value != usual:
                hint = "here `connection` says where"
                path = f"subscription[{number}].{name}"
                yield Problem(path, shorten(value), "nothing without [pool]", hint)


def _spread(pool: PoolConfig) -> Iterator[Problem]:
    if pool.policy == "manual" and pool.spread not in (None, "manual"):
        allowed = '"manual", or nothing, with policy = "manual"'
        yield Problem("pool.spread", shorten(pool.spread), allowed)
    if pool.weights and pool.policy != "weighted":
        allowed = 'nothing, unless policy = "weighted"'
        yield Problem("pool.weights", shorten(list(pool.weights)), allowed)


def _routes(config: Config, pool: PoolConfig) -> Iterator[Problem]:
    routes = pool.routes
    if routes is None:
        return
    is_routed = pool.spread == "class" or (pool.spread is None and pool.policy == "class_route")
    if not is_routed:
        allowed = 'none, unless policy = "class_route" or spread = "class"'
        yield Problem("pool.routes", "a table", allowed)
    for word in PRIORITIES:
        names: tuple[str, ...] = getattr(routes, word)
        known = [name for a in config.accounts for name in (a.name, a.broker)]
        for name in names:
            if name not in known:
                allowed = f"an account or a broker: {', '.join(dict.fromkeys(known))}"
                yield Problem(f"pool.routes.{word}", shorten(name), allowed)
        for owner in config.owners if names else ():
            own = {n for a in config.accounts if a.owner == owner for n in (a.name, a.broker)}
            if own.isdisjoint(names):
                allowed = f"an account of {owner} among them: his may go nowhere else"
                yield Problem(f"pool.routes.{word}", shorten(list(names)), allowed)


def _mirror(config: Config, pool: PoolConfig) -> Iterator[Problem]:
    """Yield what leaves the two halves of an instrument no two connections that share a decoder."""
    if not pool.mirror and pool.mirror_priority is None:
        return
    path = "pool.mirror" if pool.mirror else "pool.mirror_priority"
    for owner in config.owners:
        keys = {(a.broker, a.api_key) for a in config.accounts if a.owner == owner}
        most = len(keys) * (pool.connections_per_key or 0)
        decoders = len(config.decoders_of(owner))
        if most < 2 * max(decoders, 1):
            found = f"instruments on two connections, where {most} with {decoders} decoders may be"
            allowed = "two connections for each decoder"
            whose = f" of {owner}" if len(config.owners) > 1 else ""
            hint = f"raise connections_per_key, add an account{whose}, or lower [decoder] count"
            yield Problem(path, found, allowed, hint)


def _pins(config: Config, pool: PoolConfig) -> Iterator[Problem]:
    owners = {account.name: account.owner for account in config.accounts}
    manual = "manual" in (pool.policy, pool.spread)
    for number, subscription in enumerate(config.subscriptions):
        path, account = f"subscription[{number}].account", subscription.account
        if account is None:
            if manual and subscription.group is None:
                allowed = "an account: with manual placement nothing else says where"
                yield Problem(path, "nothing", allowed)
        elif account not in owners:
            yield Problem(path, shorten(account), f"an [[account]]: {', '.join(owners)}")
        elif config.owner_of(subscription) not in (None, owners[account]):
            allowed = f"one of {config.owner_of(subscription)}, whose the subscription is"
            yield Problem(path, shorten(account), allowed)
