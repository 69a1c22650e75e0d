"""Keeping the pool in shape: growing, shrinking, draining, recycling, balancing. Floor 4.

What is to be done is advice of `pipeline.planning`; here it becomes connections that open, drain
and close, and moves that wait for their turn. What people ask for goes the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from pipeline.core.clock import NS_PER_S, real_ns
from pipeline.core.config import PoolConfig
from pipeline.planning.pacing import Steady
from pipeline.planning.policies import PlacementPolicy
from pipeline.planning.pool import Move, NewConnection, PoolView
from pipeline.planning.rebalance import rebalance
from pipeline.planning.redistribution import Drain, drain, redistribute, send_home
from pipeline.planning.scaling import History, Recycling, ScalingPolicy, judge_scaling
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.links import Link
from pipeline.services.control.moves import Moves

#: How often the shape of the pool is looked at.
CHECK_NS: Final = NS_PER_S
_WELL: Final = 100.0

_log = logging.getLogger(__name__)


class CannotBeDone(Exception):
    """What was asked for is not possible now; says why, and nothing has changed.

    `requested` and `available` count what it is about: instruments that would have to move and
    those that there is room for, or connections.
    """

    def __init__(self, text: str, *, requested: int, available: int) -> None:
        self.requested = requested
        self.available = available
        super().__init__(text)


class NotThere(CannotBeDone):
    """A connection or an account that does not exist."""

    def __init__(self, text: str) -> None:
        super().__init__(text, requested=1, available=0)


class Upkeep:
    """The pool's shape; `view` gives the pool as planning sees it."""

    def __init__(
        self, settings: PoolConfig, policy: PlacementPolicy, assigned: Assigned, moves: Moves,
        view: Callable[[], PoolView],
    ) -> None:  # fmt: skip
        self.recycle_asked: set[int] = set()
        #: How many connections there shall be at least, as somebody asked; None: nobody has.
        self.asked: int | None = None
        self._policy = policy
        self._scaling = scaling_of(settings)
        self._assigned = assigned
        self._moves = moves
        self._view = view
        self._history = History()
        self._check_at_ns = 0
        self._steady = Steady(round(settings.rebalance_after_s * NS_PER_S))
        self._usable: frozenset[int] = frozenset()
        self._balance_due = False
        self._homeward: set[int] = set()
        self._near_limit = False

    def turn(self, now_ns: int) -> None:
        """Look at the shape once a second, and bring what drains one step on."""
        if now_ns >= self._check_at_ns:
            self._check_at_ns = now_ns + CHECK_NS
            self._scale(now_ns)
            self._plan_moves(now_ns)
        for link in self._assigned.links.values():
            if link.draining and link.wanted and not link.rows:
                self._assigned.close(link)

    # ---- by itself --------------------------------------------------------------------------

    def _scale(self, now_ns: int) -> None:
        self.recycle_asked &= self._assigned.links.keys()
        advice = judge_scaling(
            self._view_for_scaling(), self._policy, self._scaling, self._history,
            now_ns=now_ns, wall_ts_ns=real_ns(), recycle=sorted(self.recycle_asked),
        )  # fmt: skip
        self._history = advice.history
        self._tell_near_limit(near=advice.near_limit)
        for opening in advice.open:
            link = self._assigned.open(opening.new, now_ns)
            _log.info(f"connection {link.number}: opened ahead of need ({opening.why})")
        for closing in advice.close:
            _log.info(f"connection {closing.number}: to be closed ({closing.why})")
            self._assigned.drain(self._assigned.links[closing.number], closing.to)
        for recycling in advice.recycle:
            self._recycle(recycling, now_ns)

    def _tell_near_limit(self, *, near: bool) -> None:
        if near and not self._near_limit:
            keys = self._assigned.keys
            room = sum(key.connections_max * key.instruments_per_connection for key in keys)
            _log.warning(
                f"{len(self._assigned.placement)} of the {room} instruments that the keys allow "
                "are carried: add an API key before more are needed"
            )
        self._near_limit = near

    def _view_for_scaling(self) -> PoolView:
        """Return the pool with no connection unwell for being down.

        That is an outage: its feed reconnects with patience, and a successor would have none.
        """
        view, links = self._view(), self._assigned.links
        connections = (
            found if links[found.number].is_healthy else replace(found, health=_WELL)
            for found in view.connections
        )
        return replace(view, connections=tuple(connections))

    def _recycle(self, recycling: Recycling, now_ns: int) -> None:
        link = self._assigned.links[recycling.number]
        self.recycle_asked.discard(link.number)
        _log.info(f"connection {link.number}: to be replaced ({recycling.why})")
        if not recycling.break_before_make:
            new = NewConnection(link.account, -1, link.seat, link.decoder)
            self._assigned.drain(link, (self._assigned.open(new, now_ns).number,))
            return
        plan = drain(link.number, self._view(), self._policy).plan
        self._assigned.drain(link, None)
        if plan.refused:
            # Its key has no connection to spare and the others no room: it has to go first.
            _log.warning(
                f"connection {link.number}: {len(link.rows)} instruments are interrupted until its "
                "successor is up"
            )
            self._assigned.close(link)

    def _plan_moves(self, now_ns: int) -> None:
        """Plan what drains, else the balance, if the same connections have long been well."""
        draining = [
            link for link in self._assigned.links.values()
            if link.draining and link.wanted and link.rows
        ]  # fmt: skip
        if draining:
            self._empty(draining[0], now_ns)
            return
        if self._homeward and not self._moves.waiting:
            found = send_home(self._homeward, self._view(), self._policy)
            self._homeward.clear()
            self._plan(found, now_ns)
        usable = frozenset(link.number for link in self._assigned.links.values() if _is_well(link))
        self._balance_due = self._balance_due or usable != self._usable
        self._usable = usable
        if self._steady.observe(now_ns, usable) and self._balance_due:
            self._balance_due = False
            count = self._moves.replace_waiting(self.plan_balance())
            if count:
                _log.info(f"{count} instruments are to move, to restore the balance")

    def _empty(self, link: Link, now_ns: int) -> None:
        to = [n for n in link.drain_to or () if n in self._assigned.links] or None
        found = drain(link.number, self._view(), self._policy, to=to, may_open=to is None)
        if found.plan.refused and self._may_all_take(link):
            # The room that there was is gone. It takes more again, lest it be refused for nothing.
            self._assigned.stop_draining(link)
            _log.warning(
                f"connection {link.number} stays: the others have no room any more for "
                f"{len(found.plan.refused)} of its instruments"
            )
            return
        self._plan(found, now_ns)

    def _plan(self, found: Drain, now_ns: int) -> None:
        """Open what a plan opens, and have its moves wait for their turn."""
        numbers = self._assigned.open_all(found.plan.open, now_ns)
        self._moves.replace_waiting(
            move._replace(target=numbers.get(move.target, move.target)) for move in found.moves
        )

    def _may_all_take(self, draining: Link) -> bool:
        others = [link for link in self._assigned.links.values() if link is not draining]
        return all(link.takes_more or (link.draining and link.wanted) for link in others)

    # ---- because somebody asks --------------------------------------------------------------

    def plan_balance(self) -> list[Move]:
        """Return the moves that would restore the policy's balance."""
        return rebalance(self._view(), self._policy)

    def bring_home(self, tokens: Collection[int]) -> None:
        """Move those of these to where they are pinned that are elsewhere, at the next check."""
        self._homeward.update(tokens)
        self._check_at_ns = 0

    def drain(self, number: int) -> int:
        """Empty a connection and close it; return how many instruments move."""
        link = self._link(number)
        found = drain(number, self._view(), self._policy, may_open=False)
        if found.plan.refused:
            raise CannotBeDone(
                f"connection {number} carries {len(link.rows)} instruments, and the others have "
                f"room for {len(found.moves)}: unsubscribe some, or recycle it instead",
                requested=len(link.rows),
                available=len(found.moves),
            )
        self._assigned.drain(link, None)
        self._check_at_ns = 0
        return len(found.moves)

    def recycle(self, number: int) -> None:
        """Replace a connection by a new one, at the next check."""
        self._link(number)
        self.recycle_asked.add(number)
        self._check_at_ns = 0

    def ask_for(self, connections: int | None) -> None:
        """Have at least so many connections from now on; None: as many as are needed."""
        self.asked = connections
        self._scaling = replace(self._scaling, connections_min=connections or 0)
        self._check_at_ns = 0

    def recycle_account(self, account: str) -> list[int]:
        """Replace every connection of an account, one after the other; return their numbers.

        That is how all come to use a new token while the old one is still good.
        """
        known = [key.account for key in self._assigned.keys]
        if account not in known:
            text = f"account {account[:60]!r} not found; known: {', '.join(known)}"
            raise NotThere(text)
        links = self._assigned.links.values()
        numbers = [link.number for link in links if link.account == account and link.wanted]
        self.recycle_asked.update(numbers)
        self._check_at_ns = 0
        return numbers

    def scale(self, connections: int, now_ns: int) -> int:
        """Have so many connections; return how many open (or, negative, close)."""
        links = [link for link in self._assigned.links.values() if link.wanted]
        most = sum(key.connections_max for key in self._assigned.keys)
        if not 0 <= connections <= most:
            text = f"{connections} connections: 0 to {most} are allowed by the keys"
            raise CannotBeDone(text, requested=connections, available=most)
        surplus = len(links) - connections
        closing = sorted(links, key=lambda link: len(link.rows))[: max(surplus, 0)]
        numbers = [link.number for link in closing]
        plan = redistribute(numbers, self._view(), self._policy, may_open=False)
        if plan.refused:
            raise CannotBeDone(
                f"{connections} connections have no room for {len(plan.refused)} of the "
                "instruments: unsubscribe some first",
                requested=plan.requested,
                available=len(plan.assign),
            )
        for link in closing:
            self._assigned.drain(link, None)
        self.ask_for(connections)
        return -surplus

    def _link(self, number: int) -> Link:
        link = self._assigned.links.get(number)
        if link is None or not link.wanted:
            numbers = ", ".join(map(str, sorted(self._assigned.links))) or "none"
            raise NotThere(f"connection {number} does not exist; there are: {numbers}")
        return link


def scaling_of(settings: PoolConfig) -> ScalingPolicy:
    """Return how a config wants its pool to grow and shrink."""
    never = 2**62
    return ScalingPolicy(
        headroom=settings.headroom,
        decoder_bytes_per_s=settings.decoder_bytes_per_s,
        shrink_hold_ns=round(settings.shrink_after_s * NS_PER_S) or never,
        warm_connections=settings.warm_connections,
        warm_at=settings.warm_at,
        recycle_age_ns=round(settings.recycle_after_s * NS_PER_S) or None,
    )


def _is_well(link: Link) -> bool:
    return link.takes_more and link.is_healthy
