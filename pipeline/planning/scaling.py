"""When connections are opened, closed and replaced, beyond what placing needs. Floor 2; pure.

Advice only: the pool manager follows it or shows it. A connection is opened ahead of need, kept
warm, closed when the others have long had room for what it carries, and replaced when it is old
or unwell. One connection is closed or replaced at a time.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from pipeline.core.clock import ist
from pipeline.core.enums import Mode
from pipeline.planning.advice import (
    Closing,
    History,
    Opening,
    Recycling,
    ScaleAdvice,
    ScaleReason,
    ScalingPolicy,
)
from pipeline.planning.bench import Bench, KeyState, Seat
from pipeline.planning.policies import Growth, PlacementPolicy, Spread
from pipeline.planning.pool import PoolView
from pipeline.planning.redistribution import drain

__all__ = [
    "Closing",
    "History",
    "Opening",
    "Recycling",
    "ScaleAdvice",
    "ScaleReason",
    "ScalingPolicy",
    "is_warm_time",
    "judge_scaling",
]

_DAY_S: Final = 24 * 3600


def judge_scaling(
    pool: PoolView,
    placement: PlacementPolicy,
    scaling: ScalingPolicy,
    history: History,
    *,
    now_ns: int,
    wall_ts_ns: int,
    recycle: Collection[int] = (),
) -> ScaleAdvice:
    """Return the advice of one check; `now_ns` is monotonic, `wall_ts_ns` UTC.

    `recycle` are connections whose replacement was asked for by hand.
    """
    judge = _Judge(pool, placement, scaling)
    opening = judge.open(is_warm_time(scaling, wall_ts_ns))
    low_checks = judge.low_checks(history)
    recycling = judge.recycle(low_checks, now_ns, recycle)
    busy = judge.busy_decoders()
    is_calm = not opening and not recycling and not busy and judge.is_settled
    fitting = judge.fitting(is_warm_time(scaling, wall_ts_ns)) if is_calm else ()
    since_ns = history.fits_since_ns
    if not fitting or since_ns is None or history.fits_for != judge.numbers:
        since_ns = now_ns if fitting else None
    due = since_ns is not None and now_ns - since_ns >= scaling.shrink_hold_ns
    closing = judge.close(fitting) if due else ()
    return ScaleAdvice(
        history=History(None if closing else since_ns, judge.numbers, low_checks),
        open=opening,
        close=closing,
        recycle=recycling,
        busy_decoders=busy,
        near_limit=judge.is_near_limit(),
    )


def is_warm_time(scaling: ScalingPolicy, wall_ts_ns: int) -> bool:
    """Return whether warm connections are kept at a UTC time."""
    if scaling.warm_connections == 0:
        return False
    if scaling.warm_at is None:
        return True
    moment, start = ist(wall_ts_ns).time(), scaling.warm_at
    passed_s = _seconds(moment) - _seconds(start)
    return passed_s % _DAY_S < scaling.warm_for_s


def _seconds(moment: datetime.time) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


class _Judge:
    """One check."""

    def __init__(self, pool: PoolView, placement: PlacementPolicy, scaling: ScalingPolicy) -> None:
        self._pool = pool
        self._placement = placement
        self._scaling = scaling
        self._bench = Bench(pool, placement)
        self._views = {view.number: view for view in pool.connections}
        self._seats = [seat for seat in self._bench.seats if seat.may_take]
        self.numbers = tuple(seat.number for seat in self._seats)

    @property
    def is_settled(self) -> bool:
        """Whether no connection is lost or on its way out, and nothing moves."""
        return len(self._seats) == len(self._views) and not self._pool.moving

    def is_near_limit(self) -> bool:
        """Return whether the assigned instruments take most of what all keys allow."""
        assigned = sum(seat.count for seat in self._bench.seats)
        return assigned > 0 and assigned >= self._scaling.warn_share * (
            assigned + self._bench.available()
        )

    def open(self, is_warm: bool) -> tuple[Opening, ...]:
        """Return what is to be opened, each within its key's limits."""
        found: list[Opening] = []
        every = list(self._bench.keys.values())
        while len(self._views) + len(found) < self._scaling.connections_min:
            if not self._open_one(every, ScaleReason.MINIMUM, found):
                break
        for keys in self._parts():
            if self._lacks_headroom(keys):
                self._open_one(keys, ScaleReason.HEADROOM, found)
        busy = self.busy_decoders()
        if busy and not self._empty() and not found:
            self._open_one(every, ScaleReason.BYTE_RATE, found, self._idlest_decoder())
        lacking = self._scaling.warm_connections if is_warm else 0
        for _ in range(lacking - len(self._empty()) - len(found)):
            self._open_one(every, ScaleReason.WARM, found)
        return tuple(found)

    def _open_one(
        self, keys: Iterable[KeyState], why: ScaleReason, found: list[Opening],
        decoder: int | None = None,
    ) -> bool:  # fmt: skip
        able = [key for key in keys if key.openable and self._gain(key) > 0]
        if not able:
            return False
        self._bench.open(min(able, key=lambda key: (key.open_count, key.index)), decoder)
        found.append(Opening(self._bench.opened[-1], why))
        return True

    def _gain(self, key: KeyState) -> int:
        """Return how many more instruments a key takes with one connection more."""
        fresh = key.view.instruments_per_connection if key.probe(Mode.NONE) else 0
        if key.count_max is None:
            return fresh
        free = sum(s.capacity - s.count for s in self._bench.seats if s.key is key and s.may_take)
        return min(fresh, key.count_max - key.count - free)

    def _parts(self) -> list[list[KeyState]]:
        """Return the keys whose connections can stand in for each other."""
        keys = list(self._bench.keys.values())
        apart = self._placement.effective_spread in (Spread.CLASS, Spread.MANUAL)
        return [[key] for key in keys] if apart else [keys]

    def _of(self, keys: Sequence[KeyState]) -> list[Seat]:
        return [seat for seat in self._seats if seat.key in keys]

    def _lacks_headroom(self, keys: Sequence[KeyState]) -> bool:
        seats = self._of(keys)
        capacity = sum(seat.capacity for seat in seats)
        free = capacity - sum(seat.count for seat in seats)
        return free < capacity and free < self._scaling.headroom * capacity

    def _empty(self) -> list[Seat]:
        return [seat for seat in self._seats if seat.count == 0]

    def _rates(self) -> Counter[int]:
        rates: Counter[int] = Counter(dict.fromkeys(self._pool.decoders, 0))
        for view in self._pool.connections:
            rates[view.decoder] += view.byte_rate_per_s  # type: ignore[assignment]
        return rates

    def busy_decoders(self) -> tuple[int, ...]:
        """Return the decoders that are near what they can do."""
        limit = self._scaling.decoder_bytes_per_s
        if limit is None:
            return ()
        most = limit * self._scaling.byte_rate_share_max
        return tuple(sorted(n for n, rate in self._rates().items() if rate > most))

    def _idlest_decoder(self) -> int:
        rates = self._rates()
        return min(rates, key=lambda number: (rates[number], number))

    def low_checks(self, history: History) -> dict[int, int]:
        """Return for how many checks in a row each connection has been unwell."""
        low = (s for s in self._seats if s.health < self._scaling.recycle_health_min)
        return {seat.number: history.low_checks.get(seat.number, 0) + 1 for seat in low}

    def recycle(
        self, low_checks: Mapping[int, int], now_ns: int, asked: Collection[int]
    ) -> tuple[Recycling, ...]:
        """Return the one connection to replace, if there is one and nothing drains."""
        if any(view.draining for view in self._views.values()):
            return ()
        for why, numbers in self._recyclable(low_checks, now_ns, asked):
            for number in numbers:
                key = self._bench.by_number[number].key
                if key.view.may_open:  # else its successor could not connect
                    return (Recycling(number, why, break_before_make=not key.openable),)
        return ()

    def _recyclable(
        self, low_checks: Mapping[int, int], now_ns: int, asked: Collection[int]
    ) -> Iterable[tuple[ScaleReason, list[int]]]:
        yield ScaleReason.MANUAL, [number for number in asked if number in self._views]
        checks = self._scaling.recycle_checks
        low = [number for number, count in low_checks.items() if count >= checks]
        yield ScaleReason.SCORE, sorted(low, key=lambda number: self._views[number].health)
        oldest_ns = self._scaling.recycle_age_ns
        if oldest_ns is not None:
            ages = {number: now_ns - self._views[number].opened_ns for number in self.numbers}
            old = [number for number, age_ns in ages.items() if age_ns >= oldest_ns]
            yield ScaleReason.AGE, sorted(old, key=lambda number: -ages[number])

    def fitting(self, is_warm: bool) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return connections without which the rest would still be well below full, and the rest.

        Those that are kept warm are no part of the rest.
        """
        keeps_all = self._placement.growth is Growth.ALL and self._pool.placement
        if keeps_all or len(self._views) <= self._scaling.connections_min:
            return ()
        warm = self._scaling.warm_connections if is_warm else 0
        found = []
        for keys in self._parts():
            kept_warm = [seat for seat in self._of(keys) if seat.count == 0][:warm]
            warm -= len(kept_warm)
            working = [seat for seat in self._of(keys) if seat not in kept_warm]
            smallest = min(working, key=lambda seat: (seat.count, -seat.number), default=None)
            if smallest is not None and self._fits_without(smallest, working):
                rest = tuple(seat.number for seat in working if seat is not smallest)
                found.append((smallest.number, rest))
        return tuple(found)

    def _fits_without(self, seat: Seat, seats: Sequence[Seat]) -> bool:
        total = sum(other.count for other in seats)
        rest = sum(other.capacity for other in seats if other is not seat)
        # Without the headroom it would be opened again at once.
        most = min(self._scaling.shrink_fill_max, 1 - self._scaling.headroom) * rest
        return total <= most and not self._is_pinned_to(seat) and not self._is_a_half(seat)

    def _is_a_half(self, seat: Seat) -> bool:
        """Whether it carries what is mirrored, and no third connection could do so as well.

        That is one of the decoder, and of its account if the other half has another one: else the
        account would get a connection again at once.
        """
        owners = self._pool.placement
        pairs = {frozenset((n, owners.get(t, n))) for t, n in self._pool.mirrors.items()}
        others = {
            number for pair in pairs if seat.number in pair for number in pair - {seat.number}
        }
        return not all(any(self._could_follow(s, seat, n) for s in self._seats) for n in others)

    def _could_follow(self, found: Seat, seat: Seat, other: int) -> bool:
        is_third = found is not seat and found.number != other and found.decoder == seat.decoder
        half = self._bench.by_number.get(other)
        is_alike = half is None or half.key is seat.key or found.key is seat.key
        return is_third and is_alike

    def _is_pinned_to(self, seat: Seat) -> bool:
        placed = self._pool.placement
        return any(
            want.connection == seat.number and placed.get(token) == seat.number
            for token, want in self._pool.wants.items()
        )

    def close(self, fitting: Sequence[tuple[int, tuple[int, ...]]]) -> tuple[Closing, ...]:
        """Return the first connection that can be emptied without losing or interrupting."""
        for number, rest in fitting:
            moves, plan = drain(number, self._pool, self._placement, to=rest)
            crosses = any(move.break_before_make for move in moves)
            if not plan.refused and (not crosses or self._scaling.shrink_across_decoders):
                why = ScaleReason.FITS_WITHOUT if moves else ScaleReason.EMPTY
                return (Closing(number, why, rest),)
        return ()
