"""Mirroring: two connections carry an instrument all the time, and one is enough. Floor 4.

Each has an owner, as every instrument, and a second half, which `Assigned.mirrors` names; both have
a row, with one slot of one decoder, which delivers once what both bring. Where one connection fails
the other owns; where the failed one does not come back, the half goes to a third. A second half is
nobody's only place: it gives way to whatever has no other.

That two rows are a mirror and no move under way is told to a successor of this process in a file
(`kept`): it says so before the second row is in a table, and for as long as it may be in one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import PoolConfig
from pipeline.planning.mirroring import crowded_out, foresee, mirror
from pipeline.planning.policies import PlacementPolicy
from pipeline.planning.pool import Move, Plan, PoolView, Priority, Want, Why
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.links import Link
from pipeline.services.control.moves import Moves
from pipeline.services.control.surroundings import Surroundings

#: What has but one half is looked at again so often, should nothing have happened.
LOOK_AGAIN_NS: Final = NS_PER_S

_log = logging.getLogger(__name__)


class Mirrors:
    """The second halves of one pool; `view` gives the pool as planning sees it.

    `wished` are the instruments that are wanted and to be mirrored, `refused` those of them that
    nothing can carry besides the one connection that does, with the reason.
    """

    def __init__(
        self, settings: PoolConfig, policy: PlacementPolicy, assigned: Assigned, moves: Moves,
        outside: Surroundings, view: Callable[[], PoolView],
    ) -> None:  # fmt: skip
        self.wished: set[int] = set()
        self.refused: dict[int, Why] = {}
        self._named = frozenset(settings.mirror_tokens)
        least = settings.mirror_priority
        self._least = None if least is None else Priority[least.upper()]
        self._policy = policy
        self._assigned = assigned
        self._moves = moves
        self._outside = outside
        self._view = view
        self._said: dict[int, int] = {}
        self._look_ns = 0

    def is_wished(self, want: Want | None) -> bool:
        """Whether an instrument that is wanted so is to be on two connections."""
        if want is None:
            return False
        is_urgent = self._least is not None and want.priority >= self._least
        return is_urgent or want.instrument_token in self._named

    @property
    def single(self) -> int:
        """How many of those wished for one connection alone brings at present, or none."""
        well = {n for n, link in self._assigned.links.items() if link.is_healthy}
        halves, owners = self._assigned.mirrors, self._assigned.placement
        return sum(
            halves.get(token) not in well or owners.get(token) not in well for token in self.wished
        )

    # ---- what is wished ---------------------------------------------------------------------

    def follow(self, changed: Collection[int], desired: Mapping[int, Want]) -> None:
        """Take note that instruments are wanted otherwise."""
        for token in changed:
            if self.is_wished(desired.get(token)):
                self.wished.add(token)
            else:
                self.wished.discard(token)
                self.refused.pop(token, None)
        if changed:
            self.look_again()

    def look_again(self) -> None:
        """Look for places at the next turn."""
        self._look_ns = 0

    def foresee(self, wants: Mapping[int, Want], plan: Plan, view: PoolView) -> Plan:
        """Return where the second halves of what a plan places would go."""
        placed = [t for t, want in wants.items() if t in plan.assign and self.is_wished(want)]
        view = replace(view, wants={**view.wants, **wants})
        return foresee(placed, plan, view, self._policy)

    # ---- the turn ---------------------------------------------------------------------------

    def promote(self) -> None:
        """Have the half that is well own an instrument whose owner is not.

        Nothing is written for that: both have their rows.
        """
        failing = {n for n, link in self._assigned.links.items() if not _carries(link)}
        if not failing or not self._assigned.mirrors:
            return
        owners = self._assigned.placement
        for token, second in list(self._assigned.mirrors.items()):
            is_due = owners[token] in failing and second not in failing
            if is_due and token not in self._moves.under_way:
                self._assigned.swap(token)
                self.look_again()

    def turn(self, desired: Mapping[int, Want], now_ns: int, *, removes: bool = True) -> None:
        """Give way, let go, and find places for halves that are lacking.

        After everything else has its place. `removes` False: none is let go for not being wished.
        """
        self._part()
        self.give_way()
        if removes:
            self._let_go(self._assigned.mirrors.keys() - self.wished, now_ns)
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_AGAIN_NS
        leaving = {token: n for token, n in self._assigned.mirrors.items() if self._leaves(token)}
        placed, mirrored = self._assigned.placement, self._assigned.mirrors
        lacking = {token for token in self.wished if token in placed and token not in mirrored}
        asked = (lacking | leaving.keys()) - self._moves.under_way.keys()
        self.refused = {}
        if asked:
            self._find(asked, leaving, desired, now_ns)

    def _leaves(self, token: int) -> bool:
        return not self._assigned.links[self._assigned.mirrors[token]].takes_more

    def _part(self) -> None:
        """Take away halves whose owner has come to another decoder: none would tell them apart."""
        if len(self._assigned.slots) < 2:
            return
        links, owners = self._assigned.links, self._assigned.placement
        for token, second in list(self._assigned.mirrors.items()):
            if links[second].decoder != links[owners[token]].decoder:
                self._assigned.unassign(token, links[second])
                self.look_again()

    def give_way(self) -> None:
        """Take away the second halves whose room something has that has no other place."""
        links = self._assigned.links
        is_crowded = any(len(link.rows) > link.capacity for link in links.values())
        if not is_crowded or not self._assigned.mirrors:
            return
        tokens = crowded_out(self._view(), self._policy)
        for token in tokens:
            self._assigned.unassign(token, links[self._assigned.mirrors[token]])
        if tokens:
            _log.warning(
                f"{len(tokens)} mirrored instruments are on one connection: the room of their "
                "second one is needed for others"
            )
            self.look_again()

    def _find(
        self, tokens: Iterable[int], leaving: Mapping[int, int], desired: Mapping[int, Want],
        now_ns: int,
    ) -> None:  # fmt: skip
        plan = mirror(tokens, self._view(), self._policy)
        plan = plan.numbered(self._assigned.open_all(plan.open, now_ns))
        self.refused = {refusal.token: refusal.why for refusal in plan.refused}
        moves = []
        for token, number in plan.assign.items():
            if token in leaving:
                moves.append(Move(token, leaving[token], number))
            elif token in desired:
                link = self._assigned.links[number]
                self._assigned.mirror(token, desired[token].mode, link)
        self._moves.begin_now([move for move in moves if move.token in desired], desired, now_ns)
        links = self._assigned.links
        stuck = [t for t in self.refused if t in leaving and links[leaving[t]].draining]
        self._let_go(stuck, now_ns)

    def _let_go(self, tokens: Iterable[int], now_ns: int) -> None:
        """Take the second half away, once the owner has all that it had.

        Of a row that is taken away nothing more is decoded.
        """
        assigned, links = self._assigned, self._assigned.links
        settled = [token for token in tokens if token not in self._moves.under_way]
        firsts = self._firsts(settled, assigned.placement)
        seconds = self._firsts(settled, assigned.mirrors)
        for token in settled:
            second = assigned.mirrors[token]
            first_ns = firsts[token]
            is_idle = not first_ns and not seconds[token]
            if is_idle or (first_ns and self._moves.is_past(second, first_ns, now_ns)):
                assigned.unassign(token, links[second])
            else:
                self.look_again()

    def _firsts(self, tokens: Iterable[int], places: Mapping[int, int]) -> dict[int, int]:
        """Return when each instrument's first packet came on its connection of `places`."""
        by_number: dict[int, list[int]] = {}
        for token in tokens:
            by_number.setdefault(places[token], []).append(token)
        found: dict[int, int] = {}
        for number, own in by_number.items():
            slots = [self._assigned.links[number].rows[token].slot for token in own]
            found |= zip(own, self._outside.first_packets(number, own, slots), strict=True)
        return found

    # ---- for a successor --------------------------------------------------------------------

    def adopt(self, found: Mapping[int, int]) -> None:
        """Take note of what the file says that was kept before us."""
        self._said = dict(found)

    def to_keep(self) -> Mapping[int, int]:
        """Return what the file is to say: all that is mirrored, or may be so in a table still."""
        if self._said == self._assigned.mirrors:
            return self._said
        links = self._assigned.links
        left = {
            token: number
            for token, number in self._said.items()
            if (link := links.get(number)) is not None and token in link.lost
        }
        self._said = {**left, **self._assigned.mirrors}
        return self._said


def _carries(link: Link) -> bool:
    return link.is_healthy and link.takes_more
