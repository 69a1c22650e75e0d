"""The working state of one plan: seats fill up here while a plan is made. Floor 2; pure.

A bench is made from a view, belongs to one call, and is thrown away with it. Every limit (of a
connection, a key, a mode) is checked in one place: `Seat.has_room`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pipeline.core.enums import Mode
from pipeline.planning.policies import PlacementPolicy
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    LimitScope,
    ModeLimit,
    NewConnection,
    PoolView,
    Want,
)


class KeyState:
    """A key while a plan is made."""

    __slots__ = (
        "count", "count_max", "counts_modes", "index", "modes", "open_count", "seats_taken", "view",
    )  # fmt: skip

    def __init__(self, view: KeyView, index: int, open_views: Iterable[ConnectionView]) -> None:
        self.view = view
        self.index = index
        self.count = 0
        self.count_max = view.instruments_per_key
        self.counts_modes = bool(view.mode_limits)
        self.modes: Counter[Mode] = Counter()
        # A connection without a seat of its own takes the first free one after those that have;
        # one that is recycled may share its seat with its successor for a while.
        own = [open_view.seat for open_view in open_views if open_view.account == view.account]
        self.open_count = len(own)
        self.seats_taken = {place for place in own if place is not None}
        for _ in range(own.count(None)):
            self.seats_taken.add(self.free_seat())

    @property
    def is_full(self) -> bool:
        """Whether the key as a whole takes no more instruments."""
        return self.count_max is not None and self.count >= self.count_max

    @property
    def openable(self) -> int:
        """How many connections may be opened now."""
        spare = self.view.connections_max - self.open_count
        return max(spare, 0) if self.view.may_open else 0

    def free_seat(self) -> int:
        """Return the lowest seat that no connection has."""
        return next(n for n in range(len(self.seats_taken) + 1) if n not in self.seats_taken)

    def probe(self, mode: Mode) -> bool:
        """Whether a fresh connection would have room for an instrument in this mode."""
        if self.view.instruments_per_connection < 1 or self.is_full:
            return False
        if not self.counts_modes or mode is Mode.NONE:
            return True
        by_key = self.view.mode_scope is LimitScope.KEY
        return mode_fits(self.view.mode_limits, self.modes if by_key else {}, mode)

    def serves(self, want: Want) -> bool:
        """Whether the broker has this mode and exchange at all."""
        exchanges = self.view.exchanges
        known = exchanges is None or want.exchange is None or want.exchange in exchanges
        return known and want.mode in self.view.modes


class Seat:
    """A connection while a plan is made. `number` is its number, or its reference (negative)."""

    __slots__ = (
        "age_ns", "capacity", "count", "decoder", "health", "key", "load", "may_take", "modes",
        "number", "order", "place", "weight",
    )  # fmt: skip

    def __init__(self, view: ConnectionView, key: KeyState, order: int) -> None:
        self.number = view.number
        self.key = key
        self.order = order
        self.place = view.number if view.seat is None else view.seat
        self.capacity = min(view.capacity, key.view.instruments_per_connection)
        self.decoder = view.decoder
        self.may_take = view.usable and not view.draining
        self.health = view.health
        self.age_ns = view.tick_age_p50_ns
        self.weight = view.weight
        self.load = view.byte_rate_per_s
        self.count = 0
        by_key = key.view.mode_scope is LimitScope.KEY
        self.modes: Counter[Mode] = key.modes if by_key else Counter()

    @property
    def fill(self) -> float:
        """The share of its capacity that is taken."""
        return self.count / self.capacity if self.capacity > 0 else 1.0

    @property
    def free(self) -> int:
        """How many more it takes, whatever their mode."""
        free = self.capacity - self.count
        if self.key.count_max is not None:
            free = min(free, self.key.count_max - self.key.count)
        return max(free, 0)

    def has_room(self, mode: Mode) -> bool:
        """Whether one more instrument in this mode exceeds no limit."""
        if self.count >= self.capacity:
            return False
        key = self.key
        if key.count_max is not None and key.count >= key.count_max:
            return False
        return not key.counts_modes or mode_fits(key.view.mode_limits, self.modes, mode)

    def take(self, mode: Mode) -> None:
        """Count one instrument more."""
        self.count += 1
        self.key.count += 1
        if self.key.counts_modes:
            self.modes[mode] += 1

    def release(self, mode: Mode) -> None:
        """Count one instrument less."""
        self.count -= 1
        self.key.count -= 1
        if self.key.counts_modes:
            self.modes[mode] -= 1

    def change_mode(self, before: Mode, after: Mode) -> bool:
        """Count an instrument in another mode; False, and nothing done, if a limit forbids it."""
        if after not in self.key.view.modes:
            return False
        if not self.key.counts_modes:
            return True
        self.modes[before] -= 1
        fits = mode_fits(self.key.view.mode_limits, self.modes, after)
        self.modes[after if fits else before] += 1
        return fits


def mode_fits(limits: Mapping[Mode, ModeLimit], counts: Mapping[Mode, int], mode: Mode) -> bool:
    """Return whether one more in a mode keeps to the limits, alone or combined."""
    after = {other: count for other, count in counts.items() if count}
    after[mode] = after.get(mode, 0) + 1
    if len(after) == 1:
        return mode not in limits or after[mode] <= limits[mode].alone
    return all(other not in limits or n <= limits[other].combined for other, n in after.items())


class Bench:
    """All seats and keys of a pool, filled as it is at present; `open` adds connections."""

    def __init__(self, pool: PoolView, policy: PlacementPolicy) -> None:
        self.pool = pool
        self.policy = policy
        self.keys = {
            view.account: KeyState(view, index, pool.connections)
            for index, view in enumerate(pool.keys)
        }
        views = sorted(pool.connections, key=lambda view: view.number)
        self.seats = [Seat(view, self._key(view), n) for n, view in enumerate(views)]
        self.by_number = {seat.number: seat for seat in self.seats}
        self.opened: list[NewConnection] = []
        self.decoders = Counter(dict.fromkeys(pool.decoders, 0))
        self.decoders.update(seat.decoder for seat in self.seats)
        self._fill()

    def _key(self, view: ConnectionView) -> KeyState:
        if view.account not in self.keys:
            known = ", ".join(self.keys) or "none"
            raise ValueError(
                f"connection {view.number} belongs to {view.account!r}; the pool's keys: {known}"
            )
        return self.keys[view.account]

    def _fill(self) -> None:
        # Instruments under way count on both sides, and so do those that are mirrored. Modes are
        # looked up only where they matter.
        every = (self.pool.placement, self.pool.moving, self.pool.mirrors)
        for places in every:
            for number, count in Counter(places.values()).items():
                seat = self.by_number.get(number)
                if seat is not None:
                    seat.count += count
                    seat.key.count += count
        limited = {seat.number for seat in self.seats if seat.key.counts_modes}
        if limited:
            for places in every:
                for token, number in places.items():
                    if number in limited:
                        self.by_number[number].modes[self.pool.want(token).mode] += 1

    def measure_loads(self) -> None:
        """Set each seat's load: from its instruments where these are measured, else as measured."""
        if self.pool.packet_rates or not any(seat.load for seat in self.seats):
            for seat in self.seats:
                seat.load = 0.0
            owned = {**self.pool.placement, **self.pool.moving}
            for token, number in (*owned.items(), *self.pool.mirrors.items()):
                if number in self.by_number:
                    load = self.policy.load(self.pool.want(token), self.pool.packet_rates)
                    self.by_number[number].load += load

    def available(self) -> int:
        """Return how many more instruments the pool takes, opening what may be opened."""
        total = 0
        for key in self.keys.values():
            free = key.openable * key.view.instruments_per_connection
            for seat in self.seats:
                if seat.key is key and seat.may_take:
                    free += max(seat.capacity - seat.count, 0)
            if key.count_max is not None:
                free = min(free, max(key.count_max - key.count, 0))
            total += free
        return total

    def open(self, key: KeyState, decoder: int | None = None) -> Seat:
        """Add a connection of a key, on the decoder that has fewest unless one is named."""
        if decoder is None:
            decoder = min(self.decoders, key=lambda n: (self.decoders[n], n))
        place = key.free_seat()
        new = NewConnection(key.view.account, -1 - len(self.opened), place, decoder)
        view = ConnectionView(
            number=new.ref, account=new.account, decoder=decoder, seat=place,
            capacity=key.view.instruments_per_connection, weight=self.policy.weight(place),
        )  # fmt: skip
        seat = Seat(view, key, len(self.seats))
        key.seats_taken.add(place)
        key.open_count += 1
        self.decoders[decoder] += 1
        self.opened.append(new)
        self.seats.append(seat)
        self.by_number[seat.number] = seat
        return seat
