"""Which instruments move so that the policy's balance returns, and no others. Floor 2; pure.

round_robin: counts differ by one at most. least_loaded, affinity, latency: equal shares of the
capacities (latency: among connections about as fast; none moves to a slower one). weighted: bytes/s
differ by a tenth of their mean at most. hash: each where it belongs. class_route: each with the
first account of its route that has room. first_fit and manual have no balance to return to. Under
every policy an instrument that is not where it is pinned goes home; a pinned one else never moves.

Moves are in an order in which each finds room when those before it are done.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import takewhile

from pipeline.planning.balance import fair_counts
from pipeline.planning.bench import Bench, Seat
from pipeline.planning.choosers import weighted_load
from pipeline.planning.hashing import Winners, seat_key
from pipeline.planning.policies import PlacementPolicy, Policy, Spread
from pipeline.planning.pool import Move, PoolView, Want

_BY_COUNT = (Policy.ROUND_ROBIN, Policy.LEAST_LOADED, Policy.AFFINITY, Policy.LATENCY)
_ONE_ACCOUNT = (Spread.FILL, Spread.MANUAL, Spread.CLASS)


def rebalance(
    pool: PoolView, policy: PlacementPolicy, *, across_decoders: bool = False
) -> list[Move]:
    """Return the fewest moves to the balance of the policy, the least urgent instruments first.

    Connections that are not usable, drain, or are below `place_min_health` take no part. Without
    `across_decoders` each decoder's connections are balanced by themselves; with it, moves
    between decoders are flagged `break_before_make`.
    """
    mover = Mover(pool, policy, across_decoders)
    mover.send_home()
    if policy.effective_spread is Spread.CLASS:
        mover.along_routes()
    for seats in mover.parts():
        if policy.policy is Policy.WEIGHTED:
            mover.even_loads(seats)
        elif policy.policy is Policy.HASH:
            mover.to_winners(seats)
        elif policy.policy in _BY_COUNT:
            mover.even_counts(seats)
    return mover.moves


class Mover:
    """The moves of one call, and the seats as they are after them."""

    def __init__(self, pool: PoolView, policy: PlacementPolicy, across_decoders: bool) -> None:
        self.moves: list[Move] = []
        self._pool = pool
        self._policy = policy
        self._across = across_decoders
        self._bench = Bench(pool, policy)
        if policy.policy is Policy.WEIGHTED:
            self._bench.measure_loads()
        least = policy.place_min_health
        self._seats = [s for s in self._bench.seats if s.may_take and s.health >= least]
        self._on: dict[int, list[Want]] = {seat.number: [] for seat in self._bench.seats}
        for token, number in pool.placement.items():
            if number in self._on and token not in pool.moving:
                self._on[number].append(pool.want(token))
        self._moved: set[int] = set()

    def parts(self) -> list[list[Seat]]:
        """Return the groups of seats that are balanced each by itself."""
        one_account = self._policy.effective_spread in _ONE_ACCOUNT
        parts: dict[tuple[object, object], list[Seat]] = {}
        for seat in self._seats:
            account = seat.key.view.account if one_account else None
            parts.setdefault((account, None if self._across else seat.decoder), []).append(seat)
        return list(parts.values())

    def send_home(self) -> None:
        """Move what is pinned elsewhere than it is."""
        for seat in self._seats:
            for want in self._urgent_last(self._on[seat.number]):
                if want.connection not in (None, seat.number):
                    homes = [s for s in self._seats if s.number == want.connection]
                elif want.account not in (None, seat.key.view.account):
                    homes = [s for s in self._seats if s.key.view.account == want.account]
                else:
                    continue
                able = [home for home in homes if self._joins(seat, home)]
                self._move_to_first(want, seat, sorted(able, key=lambda home: home.fill))

    def even_counts(self, seats: Sequence[Seat]) -> None:
        """Move so many that each seat has its fair count."""
        if self._policy.policy is Policy.LATENCY:
            seats = self._fast(seats)
        by_fill = self._policy.policy is not Policy.ROUND_ROBIN
        fair = fair_counts([s.count for s in seats], [s.capacity for s in seats], by_fill=by_fill)
        lacking = {s.number: n - s.count for s, n in zip(seats, fair, strict=True) if n > s.count}
        for seat, count in zip(seats, fair, strict=True):
            if seat.count > count:
                self._give(seat, seat.count - count, seats, lacking)

    def _give(
        self, source: Seat, count: int, seats: Sequence[Seat], lacking: dict[int, int]
    ) -> None:
        # Those on the same decoder take first.
        takers = [seat for seat in seats if seat.number in lacking]
        takers.sort(key=lambda seat: seat.decoder != source.decoder)
        for want in self._movable(source):
            if count == 0 or not takers:
                return
            target = self._move_to_first(want, source, takers)
            if target is None:
                continue
            count -= 1
            lacking[target.number] -= 1
            if lacking[target.number] == 0:
                del lacking[target.number]
                takers.remove(target)

    def _fast(self, seats: Sequence[Seat]) -> list[Seat]:
        floor_ns = self._policy.latency_floor_ns
        ages = [max(seat.age_ns, floor_ns) for seat in seats]
        limit = min(ages, default=0) * (1 + self._policy.latency_hysteresis)
        return [seat for seat, age in zip(seats, ages, strict=True) if age <= limit]

    def even_loads(self, seats: Sequence[Seat]) -> None:
        """Move from the most loaded to the least, until their loads are near enough."""
        stock = {seat.number: self._by_load(seat) for seat in seats}
        while len(seats) > 1 and self._is_uneven(seats):
            high = max(seats, key=weighted_load)
            if not self._shift(high, [s for s in seats if s is not high], stock):
                return

    def _is_uneven(self, seats: Sequence[Seat]) -> bool:
        loads = [weighted_load(seat) for seat in seats]
        mean = sum(loads) / len(loads)
        return max(loads) - min(loads) > self._policy.weighted_spread_max * mean

    def _by_load(self, seat: Seat) -> list[tuple[float, int]]:
        rates = self._pool.packet_rates
        wants = self._movable(seat)
        return sorted((self._policy.load(want, rates), want.instrument_token) for want in wants)

    def _shift(
        self, high: Seat, others: list[Seat], stock: dict[int, list[tuple[float, int]]]
    ) -> bool:
        """Move the instrument that evens `high` with the least loaded seat that can take it."""
        for low in sorted(others, key=weighted_load):
            # So much may go over that `low` does not come out above `high`.
            surplus = weighted_load(high) - weighted_load(low)
            most = surplus * high.weight * low.weight / (high.weight + low.weight)
            own = stock[high.number]
            position = bisect_right(own, (most, 2**63)) - 1
            if position < 0 or own[position][0] <= 0:
                continue
            load, token = own[position]
            if self._move_to_first(self._pool.want(token), high, [low]) is not None:
                del own[position]
                high.load -= load
                low.load += load
                return True
        return False

    def to_winners(self, seats: Sequence[Seat]) -> None:
        """Move what is on another seat than its own, as far as there is room."""
        wants = [want for seat in seats for want in self._movable(seat)]
        waiting = []
        for account in {want.account: None for want in wants}:
            able = [seat for seat in seats if account in (None, seat.key.view.account)]
            waiting += self._misplaced([w for w in wants if w.account == account], able)
        before = -1
        while waiting and len(waiting) != before:  # one that leaves may make room for another
            before = len(waiting)
            waiting = [pair for pair in waiting if not self._to_winner(*pair)]

    def _misplaced(self, wants: list[Want], seats: Sequence[Seat]) -> list[tuple[Want, Seat]]:
        winners = Winners([want.instrument_token for want in wants])
        for seat in seats:
            winners.add(seat_key(seat.key.view.account, seat.place))
        pairs = [(want, seats[winners.winner(want.instrument_token)]) for want in wants if seats]
        places = self._pool.placement
        return [pair for pair in pairs if places[pair[0].instrument_token] != pair[1].number]

    def _to_winner(self, want: Want, target: Seat) -> bool:
        source = self._bench.by_number[self._pool.placement[want.instrument_token]]
        return self._move_to_first(want, source, [target]) is not None

    def along_routes(self) -> None:
        """Move to earlier accounts of the route, the most urgent first."""
        pairs = [(want, seat) for seat in self._seats for want in self._movable(seat)]
        pairs.sort(key=lambda pair: -pair[0].priority)
        ranks = {
            priority: {seat: _rank(names, seat) for seat in self._seats}
            for priority, names in self._policy.routes.items()
        }
        ordered = {p: sorted(self._seats, key=ranks[p].__getitem__) for p in ranks}
        for want, seat in pairs:
            if want.account is None and want.priority in ranks:
                rank = ranks[want.priority]
                tried = takewhile(partial(_is_before, rank, seat), ordered[want.priority])
                self._move_to_first(want, seat, (s for s in tried if self._joins(seat, s)))

    def _movable(self, seat: Seat) -> list[Want]:
        """Return what may leave a seat, the least urgent first."""
        grouped = self._policy.keeps_groups
        return self._urgent_last(
            want
            for want in self._on[seat.number]
            if want.connection is None
            and not (grouped and want.group)
            and want.instrument_token not in self._moved
        )

    def _urgent_last(self, wants: Iterable[Want]) -> list[Want]:
        return sorted(wants, key=lambda want: (want.priority, want.instrument_token))

    def _joins(self, source: Seat, target: Seat) -> bool:
        return source is not target and (self._across or source.decoder == target.decoder)

    def _move_to_first(self, want: Want, source: Seat, targets: Iterable[Seat]) -> Seat | None:
        """Move to the first of the targets that may take it; None if none may."""
        for target in targets:
            if self._pool.mirrors.get(want.instrument_token) == target.number:
                continue  # its second half is there
            own_account = want.account in (None, target.key.view.account)
            if own_account and target.key.serves(want) and _swap(want, source, target):
                crosses = source.decoder != target.decoder
                move = Move(want.instrument_token, source.number, target.number, crosses)
                self.moves.append(move)
                self._moved.add(want.instrument_token)
                return target
        return None


def _is_before(ranks: dict[Seat, int], seat: Seat, other: Seat) -> bool:
    return ranks[other] < ranks[seat]


def _swap(want: Want, source: Seat, target: Seat) -> bool:
    """Change the seat of a want; False, and nothing done, if a limit forbids it."""
    crosses = source.decoder != target.decoder
    if crosses:  # it leaves the one before it joins the other
        source.release(want.mode)
    if not target.has_room(want.mode):
        if crosses:
            source.take(want.mode)
        return False
    target.take(want.mode)
    if not crosses:
        source.release(want.mode)
    return True


def _rank(names: Sequence[str], seat: Seat) -> int:
    """Return how early a route names a seat's account or broker; its end if it does not."""
    view = seat.key.view
    found = (n for n, name in enumerate(names) if name in (view.account, view.broker))
    return next(found, len(names))
