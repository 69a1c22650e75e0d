"""All that may be asked of the control process, whichever way the question came. Floor 4; no I/O.

`control.sock` and HTTP answer from the same functions; they differ in how a client is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core.config import Config
from pipeline.core.control import Ask
from pipeline.core.errors import ConfigError
from pipeline.rest.accounts import open_governor
from pipeline.rest.governor import Governor
from pipeline.services.control.alerts import Alerts
from pipeline.services.control.health import Health
from pipeline.services.control.pool import Pool
from pipeline.services.control.refused import Refused
from pipeline.services.control.stats import Stats

Question = Callable[[Ask], Any]


class Desk:
    """The documents of an instance's pools, by owner; `refresh` is called before one is made.

    `governor_problem`: why there is no governor, if there is none.
    """

    def __init__(
        self, config: Config, pools: Mapping[str, Pool], stats: Stats, health: Health,
        alerts: Alerts, refresh: Callable[[], None],
    ) -> None:  # fmt: skip
        self._pools = dict(pools)
        self._stats = stats
        self._health = health
        self._alerts = alerts
        self._refresh = refresh
        self.governor: Governor | None = None
        self.governor_problem = ""
        try:
            self.governor = open_governor(config)
        except ConfigError as error:
            self.governor_problem = str(error)

    def questions(self, owner: str | None = None) -> Mapping[str, Question]:
        """Return what `Ask` may be about, for an owner, or for who sees everything.

        Calls of the broker's REST are told to all.
        """
        return {
            "stats": lambda ask: self.stats(ask.account, owner),
            "health": lambda _: self.health(owner=owner),
            "alerts": lambda _: self.alerts(owner),
            "distribution": lambda _: self._distribution(owner),
            "rate_limit_stats": lambda _: self._governor().stats(),
            "rate_limit_config": lambda _: self._governor().config(),
        }

    def stats(self, account: str | None = None, owner: str | None = None) -> dict[str, Any]:
        """Return the stats of one account, or of all; Refused for one that is not there.

        owner: of his accounts alone.
        """
        self._refresh()
        if account is None:
            return self._stats.everything(owner)
        return self._stats.account(account, owner)

    def health(self, *, brief: bool = False, owner: str | None = None) -> dict[str, Any]:
        """Return the health document, or only what anybody may know; `owner`: of his pool."""
        self._refresh()
        return self._health.brief() if brief else self._health.document(owner)

    def alerts(self, owner: str | None = None) -> dict[str, Any]:
        """Return what a person should know of, as of the last look: open, and resolved."""
        return self._alerts.document(owner)

    def _distribution(self, owner: str | None) -> dict[str, dict[str, list[int]]]:
        """Return which instruments each connection of each account is assigned."""
        found: dict[str, dict[str, list[int]]] = {}
        for whose, pool in self._pools.items():
            for link in pool.links.values() if owner in (None, whose) else ():
                found.setdefault(link.account, {})[str(link.number)] = list(link.rows)
        return found

    def _governor(self) -> Governor:
        if self.governor is None:
            raise Refused("unavailable", self.governor_problem)
        return self.governor
