"""Where instruments go that have no place yet. Floor 2; pure.

Served are the more urgent first, in one class those that are pinned first, and otherwise in the
order of the request (hashing: by token, so that the order plays no part; weighted: the heaviest
first). Filters hold before any policy: the broker serves the mode and exchange, no limit of the
connection, the key or the mode is exceeded, the connection is healthy enough and does not drain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from pipeline.core.enums import Mode
from pipeline.planning.bench import Bench, KeyState, Seat
from pipeline.planning.choosers import Turns
from pipeline.planning.groups import find_anchors, place_group
from pipeline.planning.lanes import Lane, Tier
from pipeline.planning.policies import Growth, PlacementPolicy, Policy, Spread
from pipeline.planning.pool import Plan, PoolView, Refusal, Turn, Want, Why

_ANYWHERE: Final = Turn()

#: What decides which places are open to a want.
_LaneKey = tuple[object, ...]


def place(
    wants: Iterable[Want],
    pool: PoolView,
    policy: PlacementPolicy,
    *,
    turn: Turn = _ANYWHERE,
    homes: Mapping[int, str] | None = None,
    all_or_nothing: bool = False,
) -> Plan:
    """Return where each want goes; each is placed, kept where it is, or refused with a reason.

    An instrument that has a place keeps it, unless the limit of its new mode forbids that: then
    it is refused, and stays as it was. `homes` are the accounts that instruments had before
    (sticky over restarts): preferred, not insisted on. Of a token wanted twice the first counts.
    With `all_or_nothing` one refusal leaves everything as it is. Second halves of what is mirrored
    are in nobody's way: which of them have to go then, `mirroring.crowded_out` says.
    """
    wants = list(wants)
    plan = Placer(pool, policy, turn, homes or {}).place(wants)
    if plan.refused and pool.mirrors:
        alone = Placer(replace(pool, mirrors={}), policy, turn, homes or {}).place(wants)
        if len(alone.refused) < len(plan.refused):
            plan = alone
    if not all_or_nothing or not plan.refused:
        return plan
    refused = {refusal.token: refusal for refusal in plan.refused}
    others = [Refusal(token, Why.OTHERS_REFUSED) for token in plan.assign]
    return Plan(
        assign={},
        refused=(*refused.values(), *others),
        kept=plan.kept,
        available=plan.available,
        turn=turn,
    )


class Placer:
    """One plan in the making."""

    def __init__(
        self, pool: PoolView, policy: PlacementPolicy, turn: Turn, homes: Mapping[int, str]
    ) -> None:
        self.bench = Bench(pool, policy)
        self.policy = policy
        self.assign: dict[int, int] = {}
        self.refused: dict[int, Why] = {}
        self._pool = pool
        self._homes = homes
        self._turn = turn
        self._turns = self._turns_of(turn)
        self._lanes: dict[_LaneKey, Lane] = {}
        self._tokens: list[int] = []
        self._weighs = policy.policy is Policy.WEIGHTED
        self._routed = policy.effective_spread is Spread.CLASS
        self._available = self.bench.available()
        if self._weighs:
            self.bench.measure_loads()

    def place(self, wants: Iterable[Want]) -> Plan:
        """Place all wants and return the plan."""
        new, kept = self._sort_out(wants)
        self._tokens = [want.instrument_token for want in new]
        if new:
            self._open_ahead(len(new))
        if self.policy.keeps_groups and any(want.group for want in new):
            self._place_with_groups(new)
        else:
            for want in new:
                self.place_one(want)
        return Plan(
            assign=self.assign,
            open=tuple(self.bench.opened),
            refused=tuple(Refusal(token, why) for token, why in self.refused.items()),
            kept=kept,
            available=self._available,
            turn=self._turn_now(),
        )

    def place_one(self, want: Want) -> None:
        """Give a want the seat that pins and policy say, or refuse it."""
        mode = want.mode
        if want.connection is not None:
            self._place_pinned(want, want.connection)
            return
        lane = self.lane(want)
        if isinstance(lane, Why):
            self.refused[want.instrument_token] = lane
            return
        seat = lane.pick(mode, want.instrument_token)
        if seat is None:
            self.refused[want.instrument_token] = lane.why(mode)
        else:
            self.take(want, seat)

    def take(self, want: Want, seat: Seat) -> None:
        """Put a want on a seat that has room."""
        seat.take(want.mode)
        if self._weighs:
            seat.load += self.policy.load(want, self._pool.packet_rates)
        self.assign[want.instrument_token] = seat.number

    def _place_pinned(self, want: Want, number: int) -> None:
        seat = self.bench.by_number.get(number)
        why = None
        if seat is None:
            why = Why.UNKNOWN_CONNECTION
        elif want.account not in (None, seat.key.view.account):
            why = Why.PIN_CONFLICT
        elif not seat.key.serves(want):
            why = Why.UNSUPPORTED
        elif not seat.may_take:
            why = Why.PIN_UNAVAILABLE
        elif seat.has_room(want.mode):
            self.take(want, seat)
        elif seat.free:
            why = Why.MODE_LIMIT
        else:
            why = Why.KEY_LIMIT if seat.count < seat.capacity else Why.CAPACITY
        if why is not None:
            self.refused[want.instrument_token] = why

    def lane(self, want: Want) -> Lane | Why:
        """Return the lane of a want that no connection is named for, or why there is none."""
        home = self._homes.get(want.instrument_token) if self._homes else None
        route = want.priority if self._routed else None
        key = (want.mode, want.account, want.exchange, route, home)
        lane = self._lanes.get(key)
        if lane is None:
            found = self._make_lane(want, home)
            if isinstance(found, Why):
                return found
            lane = self._lanes[key] = found
        return lane

    def _make_lane(self, want: Want, home: str | None) -> Lane | Why:
        bench, spread = self.bench, self.policy.effective_spread
        if want.account is not None:
            if want.account not in bench.keys:
                return Why.UNKNOWN_ACCOUNT
            keys = [bench.keys[want.account]]
        elif spread is Spread.MANUAL:
            return Why.NOT_PINNED
        else:
            keys = self._routed_keys(want) if self._routed else list(bench.keys.values())
            if not keys:
                return Why.NO_ROUTE
        keys = [key for key in keys if key.serves(want)]
        pools = [keys] if spread is Spread.POOLED else [[key] for key in keys]
        at_home = [key for key in keys if key.view.account == home]
        turns = spread is Spread.ROUND_ROBIN and len(keys) > 1
        return Lane(
            bench, keys, [self._tier(pool) for pool in pools if pool],
            self._tier(keys, healthy=False) if self.policy.unhealthy_last else None,
            turns=self._turns if turns else None, home=self._tier(at_home) if at_home else None,
        )  # fmt: skip

    def _tier(self, keys: Sequence[KeyState], *, healthy: bool = True) -> Tier:
        return Tier(self.bench, keys, self._turns, self._tokens, healthy=healthy)

    def _routed_keys(self, want: Want) -> list[KeyState]:
        keys = list(self.bench.keys.values())
        names = self.policy.routes.get(want.priority)
        if names is None:
            return keys
        found = [k for name in names for k in keys if name in (k.view.account, k.view.broker)]
        return list(dict.fromkeys(found))

    def _sort_out(self, wants: Iterable[Want]) -> tuple[list[Want], int]:
        """Return the wants without a place, in the order of service, and how many have one."""
        places, by_number = self._pool.placement, self.bench.by_number
        unique: dict[int, Want] = {}
        for want in wants:
            unique.setdefault(want.instrument_token, want)
        new = []
        for token, want in unique.items():
            if want.mode is Mode.NONE:
                self.refused[token] = Why.UNSUPPORTED
            elif places.get(token) in by_number:
                self._keep(token, want.mode)
            else:
                new.append(want)
        kept = len(unique) - len(new) - len(self.refused)
        return self._in_order_of_service(new), kept

    def _keep(self, token: int, mode: Mode) -> None:
        """Note the mode that a placed instrument is to have."""
        before = self._pool.want(token).mode
        seat = self.bench.by_number[self._pool.placement[token]]
        if before is not mode and not seat.change_mode(before, mode):
            self.refused[token] = Why.MODE_LIMIT

    def _in_order_of_service(self, wants: list[Want]) -> list[Want]:
        rates = self._pool.packet_rates
        if self.policy.policy is Policy.HASH:
            wants.sort(key=lambda want: want.instrument_token)
        elif self._weighs:
            wants.sort(key=lambda want: -self.policy.load(want, rates))
        if len({(w.priority, w.connection is None, w.account is None) for w in wants}) > 1:
            wants.sort(key=lambda w: (-w.priority, w.connection is None, w.account is None))
        return wants

    def _open_ahead(self, count: int) -> None:
        """Open what is opened before anything is placed."""
        keys = list(self.bench.keys.values())
        if self.policy.growth is Growth.ALL:
            for key in keys:
                while key.openable:
                    self.bench.open(key)
        elif self.policy.policy is Policy.HASH:
            # Hashing over connections that come one by one would fill one after the other.
            tier = Tier(self.bench, keys, self._turns, ())
            while self._room() < count and tier.open_one(Mode.NONE):
                pass

    def _room(self) -> int:
        return sum(seat.free for seat in self.bench.seats if seat.may_take)

    def _place_with_groups(self, wants: Sequence[Want]) -> None:
        anchors = find_anchors(self._pool)
        members: dict[str, list[Want]] = {}
        for want in wants:
            if want.group is not None:
                members.setdefault(want.group, []).append(want)
        for want in wants:
            if want.group is None:
                self.place_one(want)
            elif want.group in members:
                place_group(self, members.pop(want.group), anchors)

    def _turns_of(self, turn: Turn) -> Turns:
        numbers = [seat.number for seat in self.bench.seats]
        # The connection served last may be gone; then its turn counts as that of the one before.
        seats = {scope: bisect_right(numbers, n) - 1 for scope, n in turn.served.items()}
        accounts = list(self.bench.keys)
        return Turns(seats, accounts.index(turn.account) if turn.account in accounts else -1)

    def _turn_now(self) -> Turn:
        account = self._turn.account
        if self._turns.account >= 0:
            account = list(self.bench.keys)[self._turns.account]
        seats = self._turns.seats.items()
        served = {scope: self.bench.seats[order].number for scope, order in seats if order >= 0}
        return Turn(served, account)
