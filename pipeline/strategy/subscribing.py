"""Saying what is wanted: the part of a `Market` that speaks with the pool. Floor 3.

Whether there is a pool is found when it is first needed. May be used from any thread.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from pipeline.core.control import Ask, Instrument, Subscribe, mode_of
from pipeline.core.errors import ControlUnavailable, NotSupportedYet
from pipeline.shm.instance import ended
from pipeline.strategy.attachment import Attachment, ReaderOptions
from pipeline.strategy.demand import DemandKeeper, SubscribeResult
from pipeline.strategy.forms import as_forms
from pipeline.strategy.items import TickArray
from pipeline.strategy.selecting import ticks_of


class Subscribing:
    """What a reader wants; its other part says where it is attached, and whether it is closed."""

    attachment: Attachment
    options: ReaderOptions
    _closed: bool

    def _begin_subscribing(self) -> None:
        self._keeper: DemandKeeper | None = None
        self._keeper_lock = threading.Lock()

    def subscribe(
        self, instruments: Instrument | Iterable[Instrument], mode: str = "quote", *,
        partial: bool = False, dry_run: bool = False, priority: str = "warm",
        account: str | None = None, connection: int | None = None, group: str | None = None,
        follow: bool = False,
    ) -> SubscribeResult:  # fmt: skip
        """Want instruments, or want them in another mode: "ltp", "quote" or "full".

        instruments: tokens and names, one or many. What this market wants lives as long as it,
        and a grace of `[pool] linger_s`; over a restart of the control process it is kept.
        partial: take what there is room for; without it all are accepted or none.
        dry_run: only say what would be.
        priority: "critical", "hot", "warm" or "cold": who is kept when capacity is short.
        account, connection, group: only there; or all of one group together, where the pool's
          policy knows groups.
        follow: a form with `atm`, such as "NFO:NIFTY@weekly:atm+-10", moves with its underlying,
          which is subscribed to in ltp mode, until `unsubscribe` of the same form.

        Raises CapacityError with the numbers, UnknownInstruments with near names, RequestRefused,
        ControlUnavailable when the control process does not answer within 10 s: nothing has
        changed then. Raises NotSupportedYet when the instance has no `[pool]`.
        """
        mode_of(mode)
        request = Subscribe(
            instruments=as_forms(instruments), mode=mode, partial=partial, dry_run=dry_run,
            priority=priority, account=account, connection=connection, group=group,
            follow=follow,
        )  # fmt: skip
        return self._pool("Market.subscribe").subscribe(request)

    def unsubscribe(self, instruments: Instrument | Iterable[Instrument]) -> int:
        """Want instruments no longer; return how many of them this market had wanted.

        Others may go on wanting them, and then they go on streaming. Raises as `subscribe` does.
        """
        forms = as_forms(instruments)
        return self._pool("Market.unsubscribe").unsubscribe(forms)

    def set_mode(
        self, mode: str, instruments: Instrument | Iterable[Instrument]
    ) -> SubscribeResult:
        """Want those of the instruments that are wanted in another mode.

        The highest mode that anybody wants is what comes. Raises as `subscribe` does.
        """
        mode_of(mode)
        forms = as_forms(instruments)
        return self._pool("Market.set_mode").set_mode(forms, mode)

    def mine(self, ticks: TickArray) -> TickArray:
        """Return a copy of those ticks whose instruments this market has subscribed to."""
        tokens = np.empty(0, np.uint32) if self._keeper is None else self._keeper.token_array()
        return ticks_of(ticks, tokens)

    def wants(self) -> dict[Instrument, str]:
        """Return {instrument: mode} of what this market has subscribed to, as it was written."""
        return {} if self._keeper is None else self._keeper.wants()

    def stats(self) -> dict[str, Any]:
        """Return the figures of the pool's accounts and connections, as `pool stats --json` has.

        Raises as `subscribe` does.
        """
        found: dict[str, Any] = self._pool("Market.stats").request(Ask(about="stats"))
        return found

    def health(self) -> dict[str, Any]:
        """Return how well the pool is, as `pool health --json`; raise as `subscribe` does."""
        found: dict[str, Any] = self._pool("Market.health").request(Ask(about="health"))
        return found

    @property
    def has_pool(self) -> bool:
        """Whether instruments can be subscribed to: the instance has a control process."""
        attachment = self.attachment
        return attachment.has_control or attachment.paths.control_socket.exists()

    def demand(self) -> DemandKeeper:
        """Return what speaks with the control process; raise NotSupportedYet without a pool."""
        return self._pool("this")

    def _pool(self, feature: str) -> DemandKeeper:
        with self._keeper_lock:
            if self._keeper is None:
                if not self.has_pool:
                    _config_only(feature)
                if self._closed:
                    raise ControlUnavailable("this market is closed: attach again")
                self._keeper = self._make_keeper()
            return self._keeper

    def _make_keeper(self) -> DemandKeeper:
        view, follow = self.attachment.view, self.options.follow

        def check() -> None:
            if not follow and not view.is_live():
                raise ended(view)

        keeper = DemandKeeper(
            self.attachment.paths.control_socket,
            client=self.attachment.page.segment.path.name,
            check=check,
            owner=self.options.owner,
        )
        weakref.finalize(self, keeper.close).atexit = False
        return keeper


def _config_only(feature: str) -> NoReturn:
    raise NotSupportedYet(
        feature,
        "give the instance a [pool] in its config file, or list the instruments in "
        "[[subscription]] instruments, with their mode; and start it again",
    )
