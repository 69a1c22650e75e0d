"""An owner's part of an instance with a pool: his demand, his connections, his commands. Floor 4.

Accounts may have owners, and what comes on one's connections is for him alone: so each has a whole
pool of his own, over his own accounts and decoders, and what he wants never meets what another
wants, be it the same instrument. In common are the process, its pages, and the numbers that
connections have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipeline.core.config import Config
from pipeline.core.control import MODES, Act
from pipeline.core.errors import CapacityError
from pipeline.core.folders import data_directory
from pipeline.planning.pool import Priority, Want
from pipeline.services.control.acts import actions_of
from pipeline.services.control.commands import Commands
from pipeline.services.control.desk import Desk
from pipeline.services.control.durable import DurableDemand
from pipeline.services.control.front import QUOTES_CLIENT
from pipeline.services.control.homes import Homes
from pipeline.services.control.names import Names
from pipeline.services.control.pool import ADOPTED, Pool
from pipeline.services.control.windows import Windows, follow_policy
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import OF_CONNECTIONS, InstancePaths
from pipeline.strategy.latest import LatestTables

#: The client that wants what the config's [[subscription]] tables say.
CONFIG_CLIENT: Final = "config"
#: Clients whose demand is nobody's to change.
RESERVED: Final = frozenset({CONFIG_CLIENT, ADOPTED, QUOTES_CLIENT})


class Tenant:
    """One owner's part; `commands` answer his clients. What was kept for him is read at once."""

    def __init__(self, config: Config, paths: InstancePaths, owner: str, pool: Pool) -> None:
        assert config.pool is not None
        self.owner = owner
        self.pool = pool
        self._config = config
        self._paths = paths
        self._homes = _homes_of(config, owner) if len(pool.assigned.keys) > 1 else None
        if self._homes is not None:
            pool.homes = self._homes.read()
        _want_what_the_config_says(config, owner, pool)
        self._durable = DurableDemand(_durable_file(config, paths, owner), reserved=RESERVED)
        self._durable.restore(pool.ledger)
        self._latest = LatestTables(paths)

    def open(
        self, names: Names, desk: Desk, *, about: Mapping[str, Any],
        actions: Mapping[str, Callable[[Act], Any]],
    ) -> None:  # fmt: skip
        """Begin to answer, by the instance's list and documents; `actions` are everybody's."""
        assert self._config.pool is not None
        expand = partial(names.expand, last_price=self._last_price)
        self.windows = Windows(self.pool, expand, follow_policy(self._config.pool))
        self.windows.restore()
        self.commands = Commands(
            self.pool,
            resolve=partial(names.resolve, last_price=self._last_price),
            windows=self.windows,
            about={**about, "owner": self.owner},
            questions=desk.questions(self.owner),
            actions={**actions_of(self.pool), **actions},
            owner=self.owner,
        )

    def turn(self, now_ns: int) -> None:
        """Bring the windows and the pool one step on."""
        self.windows.turn(now_ns)
        self.pool.turn(now_ns)

    def save_demand(self) -> None:
        """Keep what durable clients want."""
        self._durable.save(self.pool.ledger)

    def homes_to_save(self) -> Callable[[], None]:
        """Return what keeps which account carried what until now; for any thread."""
        if self._homes is None:
            return lambda: None
        return partial(self._homes.save, dict(self.pool.homes))

    def _last_price(self, token: int) -> float | None:
        """Return what an instrument was last traded at, if it is streamed for this owner."""
        manifest = InstanceView(self._paths).read().manifest
        own = (e for e in manifest if e.kind not in OF_CONNECTIONS or e.number in self.pool.links)
        self._latest.follow(tuple(own))
        try:
            tick = self._latest.read([token])[0]
        except CapacityError:
            return None
        return float(tick["last_price"]) if tick["sequence"] else None


def _want_what_the_config_says(config: Config, owner: str, pool: Pool) -> None:
    wants = {
        token: Want(
            token, MODES[subscription.mode], Priority[subscription.priority.upper()],
            subscription.group, subscription.account,
        )
        for subscription in config.subscriptions
        if config.owner_of(subscription) == owner
        for token in subscription.tokens
    }  # fmt: skip
    pool.ledger.join(CONFIG_CLIENT, durable=True)
    pool.ledger.replace(CONFIG_CLIENT, wants)


def _durable_file(config: Config, paths: InstancePaths, owner: str) -> Path:
    """Return the file of an owner's durable demand; the only owner's has no name in it."""
    file = paths.durable_demand
    return file if len(config.owners) == 1 else file.with_stem(f"{file.stem}.{owner}")


def _homes_of(config: Config, owner: str) -> Homes:
    """Return the file that remembers the accounts of an owner's instruments."""
    pool = config.pool
    assert pool is not None
    file = config.path(pool.homes_file) if pool.homes_file else data_directory() / "homes.sqlite"
    name = config.instance.name
    return Homes(file, name if len(config.owners) == 1 else f"{name}/{owner}")
