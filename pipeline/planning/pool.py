"""The words of planning: what is wanted, what there is, and what a plan says. Floor 2; pure.

A pool is keys (accounts, each with its broker's limits), their connections, and the placement:
which connection each instrument is assigned to. Plans name connections by number; connections
that a plan opens have no number yet and are named by a negative reference (-1, -2, ...), which
`Plan.numbered` replaces. Nothing here counts what is on the wire or confirmed: planning deals in
what is desired and assigned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from pipeline.core.enums import Mode

ALL_MODES: Final = frozenset({Mode.LTP, Mode.QUOTE, Mode.FULL})


class Priority(IntEnum):
    """An instrument's class: who is served first when there is not room for all."""

    COLD = 0
    WARM = 1
    HOT = 2
    CRITICAL = 3


class Want(NamedTuple):
    """One instrument to be streamed.

    `account` and `connection` are pins (None = anywhere). A group is kept on one connection by
    the policies that know groups. `exchange` matters only to keys that serve some alone.
    """

    instrument_token: int
    mode: Mode = Mode.QUOTE
    priority: Priority = Priority.WARM
    group: str | None = None
    account: str | None = None
    connection: int | None = None
    exchange: str | None = None


class ModeLimit(NamedTuple):
    """Most instruments in a mode: where it is the only mode in use, and beside others."""

    alone: int
    combined: int


class LimitScope(StrEnum):
    """What a limit counts over."""

    CONNECTION = "connection"
    KEY = "key"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionView:
    """A connection, as planning sees it; it counts against its key from birth until it is closed.

    `usable`: it may receive instruments, being live or about to be. `seat` is its place within
    its key (0, 1, ...), which a successor takes over; hashing goes by it, so that recycling moves
    nothing; None = the number. `tick_age_p50_ns` 0 = not known. `opened_ns` is monotonic.
    """

    number: int
    account: str
    decoder: int = 0
    capacity: int = 3000
    usable: bool = True
    draining: bool = False
    health: float = 100.0
    tick_age_p50_ns: int = 0
    packet_rate_per_s: float = 0.0
    byte_rate_per_s: float = 0.0
    weight: float = 1.0
    seat: int | None = None
    opened_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyView:
    """An API key with its broker's limits; None = no such limit.

    `may_open` is False while the key is limited (429) or its token is rejected. `mode_limits`
    count over `mode_scope`. `exchanges` None = all.
    """

    account: str
    broker: str = "kite"
    connections_max: int = 3
    instruments_per_connection: int = 3000
    instruments_per_key: int | None = None
    mode_limits: Mapping[Mode, ModeLimit] = field(default_factory=dict)
    mode_scope: LimitScope = LimitScope.CONNECTION
    modes: frozenset[Mode] = ALL_MODES
    exchanges: frozenset[str] | None = None
    may_open: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolView:
    """Everything a plan is made from; mappings are read, never changed, and may be live ones.

    `wants` says how each placed instrument is wanted (absent: as a plain `Want`). `moving` maps
    instruments under way to their target: they count on both sides and are left alone. `mirrors`
    maps those that two connections carry by wish to the second one: they count there, too, but
    give way to whatever has no other place. `packet_rates` are measured packets/s by instrument.
    `decoders` are those that there are.
    """

    connections: tuple[ConnectionView, ...] = ()
    keys: tuple[KeyView, ...] = ()
    placement: Mapping[int, int] = field(default_factory=dict)
    wants: Mapping[int, Want] = field(default_factory=dict)
    moving: Mapping[int, int] = field(default_factory=dict)
    mirrors: Mapping[int, int] = field(default_factory=dict)
    packet_rates: Mapping[int, float] = field(default_factory=dict)
    decoders: Sequence[int] = range(1)

    def want(self, token: int) -> Want:
        """Return how an instrument is wanted."""
        return self.wants.get(token) or Want(token)

    def connection(self, number: int) -> ConnectionView | None:
        """Return a connection by its number, None if there is no such."""
        return next((view for view in self.connections if view.number == number), None)


class Why(StrEnum):
    """Why an instrument was not placed; `text` is the sentence for a person."""

    CAPACITY = "capacity"
    KEY_LIMIT = "key_limit"
    MODE_LIMIT = "mode_limit"
    NO_CONNECTION = "no_connection"
    UNHEALTHY = "unhealthy"
    UNSUPPORTED = "unsupported"
    UNKNOWN_ACCOUNT = "unknown_account"
    UNKNOWN_CONNECTION = "unknown_connection"
    PIN_CONFLICT = "pin_conflict"
    PIN_UNAVAILABLE = "pin_unavailable"
    NOT_PINNED = "not_pinned"
    NO_ROUTE = "no_route"
    OTHERS_REFUSED = "others_refused"

    @property
    def text(self) -> str:
        """What is wrong, and what to do about it."""
        return _TEXTS[self]


_TEXTS: Final = {
    Why.CAPACITY: "every connection that may take it is full: unsubscribe some, or add an API key",
    Why.KEY_LIMIT: "its API key carries all instruments that the broker allows: add an API key",
    Why.MODE_LIMIT: "the broker's limit for this mode is reached: use a lower mode, or add a key",
    Why.NO_CONNECTION: "no connection may take it and no key may open one now: try again later",
    Why.UNHEALTHY: "only connections below place_min_health have room: wait, or recycle them",
    Why.UNSUPPORTED: "no API key serves this mode and exchange: see the brokers' limits",
    Why.UNKNOWN_ACCOUNT: "API key not found: use the name of an account that is configured",
    Why.UNKNOWN_CONNECTION: "pinned to a connection that does not exist: see the pool's stats",
    Why.PIN_CONFLICT: "pinned to an account and to a connection of another one: drop one pin",
    Why.PIN_UNAVAILABLE: "pinned to a connection that may not take it now: wait, or change the pin",
    Why.NOT_PINNED: "placement is manual: pin it to an account or a connection",
    Why.NO_ROUTE: "no account or broker of its class's route exists: correct the route",
    Why.OTHERS_REFUSED: "others of the same request had no room, and it was all or nothing",
}


class Refusal(NamedTuple):
    """An instrument that a plan did not place."""

    token: int
    why: Why


class NewConnection(NamedTuple):
    """A connection that a plan opens. `seat` is the one it takes within its key."""

    account: str
    ref: int
    seat: int
    decoder: int


class Turn(NamedTuple):
    """Who was served last by taking turns; pass it to the next plan.

    `served` is the connection served last, by account ("" = of several); `account` the
    account, None = none yet.
    """

    served: Mapping[str, int] = MappingProxyType({})
    account: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Where instruments go. `assign` has new places only; those that stay are counted by `kept`.

    `requested` = kept + placed + refused. `available` is how many further instruments the pool
    could have taken before, whatever their mode.
    """

    assign: Mapping[int, int]
    open: tuple[NewConnection, ...] = ()
    refused: tuple[Refusal, ...] = ()
    kept: int = 0
    available: int = 0
    turn: Turn = Turn()

    @property
    def accepted(self) -> int:
        """How many of the requested instruments have a place."""
        return self.kept + len(self.assign)

    @property
    def requested(self) -> int:
        """How many instruments the plan was asked for."""
        return self.accepted + len(self.refused)

    def numbered(self, numbers: Mapping[int, int]) -> Plan:
        """Return the plan with the references of opened connections replaced by their numbers."""
        assign = {token: numbers.get(place, place) for token, place in self.assign.items()}
        served = {scope: numbers.get(last, last) for scope, last in self.turn.served.items()}
        return replace(self, assign=assign, turn=Turn(served, self.turn.account))


class Move(NamedTuple):
    """An instrument that changes its connection.

    `break_before_make`: source and target have different decoders, so that it leaves the one
    before it is wanted on the other, and its readers see a gap.
    """

    token: int
    source: int
    target: int
    break_before_make: bool = False
