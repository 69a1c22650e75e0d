"""The policies: which of the seats that may take an instrument gets it. Floor 2; pure.

A chooser is given seats, and picks one with room for each instrument, or none. While a plan is
made seats only fill up, so that a seat found full need not be looked at again.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final, Protocol

from pipeline.core.enums import Mode
from pipeline.planning.bench import Seat
from pipeline.planning.hashing import Winners, seat_key
from pipeline.planning.policies import PlacementPolicy, Policy

#: Measures a seat by the share of its capacity that is taken.
fill: Final[Callable[[Seat], float]] = attrgetter("fill")


class Turns:
    """Who was served last: an account, by its index, and in each scope a seat, by its order."""

    __slots__ = ("account", "seats")

    def __init__(self, seats: dict[str, int], account: int = -1) -> None:
        self.seats = seats
        self.account = account


class Chooser(Protocol):
    """What every policy can do."""

    def add(self, seat: Seat) -> None:
        """Let a seat be chosen from now on."""

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the seat for an instrument, None if none has room; it is not taken yet."""


class FirstFit:
    """The first seat with room."""

    def __init__(self) -> None:
        self._seats: list[Seat] = []
        self._first = 0

    def add(self, seat: Seat) -> None:
        """Let a seat be chosen; seats come in order."""
        self._seats.append(seat)

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the first seat with room."""
        while self._first < len(self._seats):
            seat = self._seats[self._first]
            if seat.has_room(mode):
                return seat
            self._first += 1
        return None


class RoundRobin:
    """The next seat with room; the turn moves on only with an instrument that is placed."""

    def __init__(self, turns: Turns, scope: str) -> None:
        self._turns = turns.seats
        self._scope = scope
        self._seats: list[Seat] = []
        self._orders: list[int] = []

    def add(self, seat: Seat) -> None:
        """Let a seat be chosen."""
        insort(self._seats, seat, key=lambda other: other.order)
        insort(self._orders, seat.order)

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the first seat with room after the one served last."""
        while self._orders:
            last = self._turns.get(self._scope, -1)
            position = bisect_right(self._orders, last) % len(self._orders)
            seat = self._seats[position]
            if seat.has_room(mode):
                self._turns[self._scope] = seat.order
                return seat
            del self._seats[position], self._orders[position]
        return None


class Lowest:
    """The seat of which least is measured, the first of equals; what is measured only grows."""

    def __init__(self, measure: Callable[[Seat], float]) -> None:
        self._measure = measure
        self._heap: list[tuple[float, int, Seat]] = []

    def add(self, seat: Seat) -> None:
        """Let a seat be chosen."""
        heapq.heappush(self._heap, (self._measure(seat), seat.order, seat))

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the lowest seat with room."""
        heap = self._heap
        while heap:
            value, order, seat = heap[0]
            if not seat.has_room(mode):
                heapq.heappop(heap)
                continue
            current = self._measure(seat)
            if current == value:
                return seat
            heapq.heapreplace(heap, (current, order, seat))
        return None


class Fastest:
    """The least loaded of the seats with the youngest ticks; slower ones when these are full."""

    def __init__(self, seats: Sequence[Seat], *, hysteresis: float, floor_ns: int) -> None:
        self._hysteresis = hysteresis
        self._floor_ns = floor_ns
        self._bands: list[Lowest] = [Lowest(fill)]
        best_ns = 0.0
        for seat in sorted(seats, key=self._age):
            if best_ns and self._age(seat) > best_ns * (1 + hysteresis):
                self._bands.append(Lowest(fill))
                best_ns = 0.0
            best_ns = best_ns or self._age(seat)
            self._bands[-1].add(seat)

    def _age(self, seat: Seat) -> float:
        return float(max(seat.age_ns, self._floor_ns, 1))

    def add(self, seat: Seat) -> None:
        """Let a new connection be chosen; nothing speaks against it yet."""
        self._bands[0].add(seat)

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the least loaded seat of the fastest band with room."""
        for band in self._bands:
            seat = band.pick(mode, token)
            if seat is not None:
                return seat
        return None


class Hashed:
    """The seat to which the instrument belongs, or the next in its own ranking."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._winners = Winners(tokens)
        self._seats: list[Seat] = []

    def add(self, seat: Seat) -> None:
        """Let a seat be chosen."""
        self._seats.append(seat)
        self._winners.add(seat_key(seat.key.view.account, seat.place))

    def pick(self, mode: Mode, token: int) -> Seat | None:
        """Return the first seat with room in the instrument's ranking."""
        if not self._seats:
            return None
        seat = self._seats[self._winners.winner(token)]
        if seat.has_room(mode):
            return seat
        if not any(other.has_room(mode) for other in self._seats):
            return None
        ranked = (self._seats[n] for n in self._winners.ranking(token))
        return next((other for other in ranked if other.has_room(mode)), None)


def weighted_load(seat: Seat) -> float:
    """Measure a seat by its bytes/s, divided by its weight."""
    return seat.load / seat.weight


def make_chooser(
    policy: PlacementPolicy, seats: Iterable[Seat], *, turns: Turns, scope: str,
    tokens: Sequence[int],
) -> Chooser:  # fmt: skip
    """Return the chooser of a policy over seats in their order.

    `scope` names whose turns are taken; `tokens` are all that it may be asked for.
    """
    known = list(seats)
    chooser: Chooser
    match policy.policy:
        case Policy.LATENCY:
            return Fastest(
                known, hysteresis=policy.latency_hysteresis, floor_ns=policy.latency_floor_ns
            )
        case Policy.FIRST_FIT | Policy.CLASS_ROUTE:
            chooser = FirstFit()
        case Policy.ROUND_ROBIN:
            chooser = RoundRobin(turns, scope)
        case Policy.WEIGHTED:
            chooser = Lowest(weighted_load)
        case Policy.HASH:
            chooser = Hashed(tokens)
        case _:
            chooser = Lowest(fill)
    for seat in known:
        chooser.add(seat)
    return chooser
