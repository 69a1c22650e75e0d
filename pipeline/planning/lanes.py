"""The way of an instrument through accounts to a seat. Floor 2; pure.

Wants that may go to the same places share a lane. A lane is a row of tiers; a tier is some keys
whose connections the policy chooses among. Accounts that fill one after the other are a tier
each, accounts whose connections are pooled are one tier together, and accounts that take turns
are tiers of which another begins each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.core.enums import Mode
from pipeline.planning.bench import Bench, KeyState, Seat
from pipeline.planning.choosers import Chooser, Turns, make_chooser
from pipeline.planning.pool import Why


class Tier:
    """Some keys, the policy over their connections, and whether it may open more of them."""

    def __init__(
        self, bench: Bench, keys: Sequence[KeyState], turns: Turns, tokens: Sequence[int],
        *, healthy: bool = True,
    ) -> None:  # fmt: skip
        self.keys = list(keys)
        self._bench = bench
        self._healthy = healthy
        self._seen = len(bench.seats)
        scope = keys[0].view.account if len(keys) == 1 else ""
        seats = [seat for seat in bench.seats if seat.may_take and self._takes(seat)]
        self.chooser: Chooser = make_chooser(
            bench.policy, seats, turns=turns, scope=scope, tokens=tokens
        )

    def _takes(self, seat: Seat) -> bool:
        healthy = seat.health >= self._bench.policy.place_min_health
        return seat.key in self.keys and healthy is self._healthy

    def _follow(self) -> None:
        # What another lane has opened meanwhile is there for this one, too.
        for seat in self._bench.seats[self._seen :]:
            if self._takes(seat):
                self.chooser.add(seat)
        self._seen = len(self._bench.seats)

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return a seat that is there, or a new connection's, or None."""
        if self._seen != len(self._bench.seats):
            self._follow()
        seat = self.chooser.pick(mode, token)
        if seat is not None or not self._healthy:
            return seat
        return self._follow_up(mode, token) if self.open_one(mode) else None

    def _follow_up(self, mode: Mode, token: int) -> Seat | None:
        self._follow()
        return self.chooser.pick(mode, token)

    def open_one(self, mode: Mode) -> bool:
        """Open a connection of the key that has fewest, if one may; False if none may."""
        able = [key for key in self.keys if key.openable and key.probe(mode)]
        if not able:
            return False
        self._bench.open(min(able, key=lambda key: (key.open_count, key.index)))
        return True


class Lane:
    """Tiers in the order in which they are tried, then the connections that are not well."""

    def __init__(
        self, bench: Bench, keys: Sequence[KeyState], tiers: Sequence[Tier], last: Tier | None,
        *, turns: Turns | None = None, home: Tier | None = None,
    ) -> None:  # fmt: skip
        self.keys = list(keys)
        self.tiers = list(tiers)
        self._bench = bench
        self._last = last
        self._untried = list(tiers)  # all but those found full, which stay full
        self._turns = turns
        self._home = home
        self._why: Why | None = None

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the seat for an instrument, None if it has to be refused."""
        if self._why is not None:
            return None
        seat = self._home.pick(mode, token) if self._home is not None else None
        if seat is None:
            seat = self._in_turn(mode, token) if self._turns else self._in_order(mode, token)
        if seat is None and self._last is not None:
            seat = self._last.pick(mode, token)
        return seat

    def _in_order(self, mode: Mode, token: int) -> Seat | None:
        while self._untried:
            seat = self._untried[0].pick(mode, token)
            if seat is not None:
                return seat
            del self._untried[0]
        return None

    def _in_turn(self, mode: Mode, token: int) -> Seat | None:
        assert self._turns is not None
        while self._untried:
            last = self._turns.account
            after = (tier for tier in self._untried if tier.keys[0].index > last)
            tier = next(after, self._untried[0])
            seat = tier.pick(mode, token)
            if seat is not None:
                self._turns.account = seat.key.index
                return seat
            self._untried.remove(tier)
        return None

    def why(self, mode: Mode) -> Why:
        """Return the reason for a refusal; nothing else is found out later in the same plan."""
        if self._why is None:
            self._why = explain(self._bench, self.keys, mode)
        return self._why


def explain(bench: Bench, keys: Iterable[KeyState], mode: Mode) -> Why:
    """Return which limit an instrument met that may go to any connection of these keys."""
    known = list(keys)
    seats = [seat for seat in bench.seats if seat.key in known and seat.may_take]
    if not known:
        return Why.UNSUPPORTED
    if not seats and not any(key.is_full for key in known):
        return Why.NO_CONNECTION
    healthy = bench.policy.place_min_health
    if any(seat.has_room(mode) for seat in seats if seat.health < healthy):
        return Why.UNHEALTHY
    spare = [seat for seat in seats if seat.count < seat.capacity]
    if any(not seat.key.is_full for seat in spare):
        return Why.MODE_LIMIT
    return Why.KEY_LIMIT if spare or any(key.is_full for key in known) else Why.CAPACITY
