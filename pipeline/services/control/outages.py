"""Connections that fail: what they carry goes where there is room. Floor 4.

By the one mechanism of `moves`, not paced: the failed connection keeps its row of an instrument
until another one has ticked. Should it come back before that, both deliver, and nothing that comes
is dropped. Between decoders the row goes at once, and readers are told a gap of the instrument.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pipeline.core.clock import NS_PER_S
from pipeline.planning.policies import PlacementPolicy
from pipeline.planning.pool import PoolView, Priority, Turn
from pipeline.planning.redistribution import OutagePolicy, judge_outage, moves_of, redistribute
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.ledger import Ledger
from pipeline.services.control.links import Link, is_open
from pipeline.services.control.moves import Moves

#: What found no room is looked at again so often, should nothing have happened.
LOOK_AGAIN_NS: Final = NS_PER_S

_log = logging.getLogger(__name__)


class Outages:
    """The failed connections of one pool; `view` gives the pool as planning sees it."""

    def __init__(
        self, redistribute_after_s: float, policy: PlacementPolicy, assigned: Assigned,
        moves: Moves, ledger: Ledger, view: Callable[[], PoolView],
    ) -> None:  # fmt: skip
        self._grace = OutagePolicy(redistribute_after_ns=round(redistribute_after_s * NS_PER_S))
        self._policy = policy
        self._assigned = assigned
        self._moves = moves
        self._ledger = ledger
        self._view = view
        self._turn = Turn()
        self._look_ns = 0

    def is_over_grace(self, link: Link, now_ns: int) -> bool:
        """Whether a connection is away for so long that it counts as down."""
        return now_ns - link.healthy_mono_ns >= self._grace.redistribute_after_ns

    def look_again(self) -> None:
        """Look for room at the next turn."""
        self._look_ns = 0

    def turn(self, now_ns: int) -> None:
        """Begin to move from connections that are down what others have room for.

        One that has only just subscribed may fall again, but receives until then.
        """
        if now_ns < self._look_ns:
            return
        for link in list(self._assigned.links.values()):
            if not link.rows or not link.wanted or is_open(link.report, now_ns):
                continue
            least = judge_outage(self._grace, now_ns - link.healthy_mono_ns)
            if least is Priority.CRITICAL and not link.was_healthy:
                continue  # it has only just been opened
            if least is not None:
                self._look_ns = now_ns + LOOK_AGAIN_NS
                self._leave(link, least, now_ns)

    def _leave(self, link: Link, least: Priority, now_ns: int) -> None:
        pool = self._view()
        plan = redistribute((link.number,), pool, self._policy, least=least, turn=self._turn)
        numbers = self._assigned.open_all(plan.open, now_ns)
        self._turn = plan.numbered(numbers).turn
        begun = 0
        for planned in moves_of(plan, pool):
            move = planned._replace(target=numbers.get(planned.target, planned.target))
            if self._assigned.has_slot(move.token, self._assigned.links[move.target]):
                self._moves.begin(move, self._ledger.desired[move.token], now_ns)
                begun += 1
        if begun:
            _log.warning(
                f"connection {link.number} is down: {begun} of its instruments move, "
                f"{len(plan.refused)} wait for it to come back"
            )
