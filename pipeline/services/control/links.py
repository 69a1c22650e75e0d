"""What the pool has assigned: connections and their rows. Floor 4.

Pure; `outside` brings it into shared memory. A slot belongs to an instrument, not to a connection:
while an instrument moves between two connections of a decoder, both assign it with one slot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Mode, Reason, State

#: The states of a connection that the broker refuses to have; its key may not open another then.
BARRED: Final = frozenset({State.AUTH_EXPIRED, State.LIMITED})
HEALTHY: Final = frozenset({State.LIVE, State.QUIET})
#: A feed beats every half second at least; one that does not for so long is not well.
SILENT_NS: Final = NS_PER_S


class Row(NamedTuple):
    """An instrument on a connection, as the assignment table says it.

    `left_mono_ns`: until when the connection before it was decoded, where none goes on with the
    instrument; readers are told the gap from then to its first tick. 0 = none had it, or one does.
    """

    mode: Mode
    slot: int
    owner_epoch: int
    left_mono_ns: int = 0


class Report(NamedTuple):
    """What a connection's pages say. `present`: its segments are there, and so is its table."""

    present: bool = False
    state: State = State.IDLE
    reason: Reason = Reason.NONE
    since_mono_ns: int = 0
    heartbeat_mono_ns: int = 0
    connection_epoch: int = 0
    wire_count: int = 0
    resubscriptions: int = 0


def is_open(report: Report, now_ns: int) -> bool:
    """Whether a connection may be receiving, be it well or not yet."""
    is_subscribed = report.state is State.SUBSCRIBING or report.state in HEALTHY
    return is_subscribed and now_ns - report.heartbeat_mono_ns < SILENT_NS


class Measured(NamedTuple):
    """What was measured of a connection over the last minute; 0 = not known.

    The age is how long after the exchange's time a tick came, in the middle.
    """

    tick_age_p50_ns: int = 0
    packets_per_s: float = 0.0
    bytes_per_s: float = 0.0


@dataclass
class Link:
    """A connection, as the control process wants and sees it; `number` is never used again.

    `wanted` False: it is being closed. `draining`: what it carries is to go elsewhere.
    `healthy_mono_ns` is when it was last seen healthy, `wanted_mono_ns` when it was last seen
    wanted; at first both are when it was opened. `size` is what its segments were made for,
    `capacity` what the broker is believed to take: no more than that. `is_barred`: the broker
    refuses to have it, its key being limited or its token rejected. `lost` are instruments that
    were taken from it, and may be in its table still; `fresh` those that are not in it yet.
    """

    number: int
    account: str
    account_index: int
    decoder: int
    seat: int
    capacity: int
    opened_mono_ns: int
    healthy_mono_ns: int = 0
    wanted_mono_ns: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    report: Report = Report()
    wanted: bool = True
    draining: bool = False
    drain_to: tuple[int, ...] | None = None  # None: wherever there is room
    was_present: bool = False
    is_healthy: bool = False
    was_healthy: bool = False
    is_down: bool = False
    is_barred: bool = False
    dirty: bool = True
    size: int = 0
    lost: set[int] = field(default_factory=set)
    fresh: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.size = self.size or self.capacity
        self.healthy_mono_ns = self.healthy_mono_ns or self.opened_mono_ns
        self.wanted_mono_ns = self.wanted_mono_ns or self.opened_mono_ns

    def observe(self, report: Report) -> None:
        """Take in what its pages say."""
        is_trying = self.is_barred and report.state is State.CONNECTING
        self.is_barred = report.state in BARRED or is_trying
        self.report = report

    @property
    def takes_more(self) -> bool:
        """Whether it may be given instruments: it is up, or may be soon."""
        return self.wanted and not self.draining and not self.is_down and not self.is_barred

    def put(self, token: int, row: Row) -> None:
        """Assign an instrument, or assign it otherwise."""
        if self.rows.get(token) != row:
            if token not in self.rows and token not in self.lost:
                self.fresh.add(token)
            self.rows[token] = row
            self.lost.discard(token)
            self.dirty = True

    def take(self, token: int) -> None:
        """Take an instrument away."""
        if self.rows.pop(token, None) is None:
            return
        if token in self.fresh:
            self.fresh.discard(token)
        else:
            self.lost.add(token)
        self.dirty = True

    def note_written(self) -> None:
        """Take note that its table says what it has."""
        self.dirty = False
        self.lost.clear()
        self.fresh.clear()
