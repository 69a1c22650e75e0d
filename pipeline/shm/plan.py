"""The memory plan: every segment that a config asks for, before anything is made. Floor 2.

Pure except for `require_room`, which asks the file system. What does not fit is refused with the
sizes and the key to lower; nothing shrinks by itself.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.core.config import Config
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import SegmentError, ShmFull
from pipeline.core.plan import ConnectionPlan, Topology, plan_topology
from pipeline.shm import specs
from pipeline.shm.segment import SegmentSpec

_PAGE: Final = 4096

#: The key that lowers each kind's size; the rest is small and fixed.
KEYS: Final = {
    SegmentKind.FRAMES: "[rings] seconds",
    SegmentKind.TICKS: "[rings] tick_records",
    SegmentKind.EVENTS: "[rings] event_records",
    SegmentKind.ORDERS: "[rings] order_bytes",
    SegmentKind.TEXT: "[rings] text_bytes",
    SegmentKind.LATEST: "[[connection]] instruments_max",
    SegmentKind.ASSIGNMENT: "[[connection]] instruments_max",
    SegmentKind.WIRE: "[[connection]] instruments_max",
    SegmentKind.CONFIRMED: "[[connection]] instruments_max",
}

#: The same where a pool makes the connections.
_POOLED_KEYS: Final = {"[[connection]] instruments_max": "[pool] instruments_per_connection"}


class PlanRow(NamedTuple):
    """All segments of one kind: how many, their bytes together, and the key that lowers them."""

    kind: SegmentKind
    segments: int
    total_bytes: int
    key: str


class MemoryPlan(NamedTuple):
    """Every segment, in the order in which they are made; `later` are those of a full pool."""

    segments: tuple[SegmentSpec, ...]
    later: tuple[SegmentSpec, ...] = ()

    @property
    def total_bytes(self) -> int:
        """What the file system gives away, in whole pages, in the end."""
        return sum(_pages(spec) for spec in (*self.segments, *self.later))

    def rows(self) -> list[PlanRow]:
        """Return a row per kind, the largest first."""
        kinds: dict[SegmentKind, list[SegmentSpec]] = defaultdict(list)
        for spec in (*self.segments, *self.later):
            kinds[spec.kind].append(spec)
        rows = [
            PlanRow(kind, len(group), sum(map(_pages, group)), self._key(kind))
            for kind, group in kinds.items()
        ]
        return sorted(rows, key=lambda row: -row.total_bytes)

    def _key(self, kind: SegmentKind) -> str:
        key = KEYS.get(kind, "")
        return _POOLED_KEYS.get(key, key) if self.later else key

    @property
    def key_to_lower(self) -> str:
        """The key that frees most."""
        return next(row.key for row in self.rows() if row.key)


def _pages(spec: SegmentSpec) -> int:
    return -(-spec.file_bytes // _PAGE) * _PAGE


def plan_memory(config: Config) -> MemoryPlan:
    """Return the plan of a checked config."""
    return plan_segments(
        plan_topology(config),
        strategies=len(config.hosted),
        gateway=config.gateway is not None,
    )


def plan_segments(topology: Topology, *, strategies: int = 0, gateway: bool = False) -> MemoryPlan:
    """Return every segment of a topology and its hosted strategies, the instance file first."""
    slots = {decoder.number: decoder.slots for decoder in topology.decoders}
    segments = [specs.instance(), specs.bell(), specs.supervisor_status()]
    if topology.simulated:
        segments.append(specs.simulator_status())
    if topology.pooled:
        segments += [specs.topology(), specs.control_status()]
    connections = topology.connections or topology.possible
    segments += [specs.account(n) for n in sorted({c.account_number for c in connections})]
    for decoder in topology.decoders:
        segments += [
            specs.latest(decoder.number, slots=decoder.slots),
            specs.bell(decoder.number),
            specs.decoder_status(decoder.number),
        ]
    for connection in topology.connections:
        segments += connection_segments(connection, slots=slots[connection.decoder])
    segments += map(specs.strategy_status, range(strategies))
    if gateway:
        segments.append(specs.gateway_status())
    later = [
        segment
        for connection in topology.possible
        for segment in connection_segments(connection, slots=slots[connection.decoder])
    ]
    return MemoryPlan(tuple(segments), tuple(later))


def connection_segments(plan: ConnectionPlan, *, slots: int) -> Iterator[SegmentSpec]:
    """Yield the segments of one connection; `slots` are its decoder's."""
    number = plan.number
    yield specs.frames(number, capacity=plan.frame_records, area_bytes=plan.frame_bytes)
    yield specs.orders(number, area_bytes=plan.order_bytes)
    yield specs.text(number, area_bytes=plan.text_bytes)
    yield specs.ticks(number, capacity=plan.tick_records)
    yield specs.events(number, capacity=plan.event_records)
    yield specs.assignment(number, capacity=plan.instruments_max)
    yield specs.wire(number, capacity=plan.instruments_max)
    yield specs.confirmed(number, slots=slots)
    yield specs.feed_status(number)


def free_bytes(directory: Path) -> int:
    """Return what a file system has left for us; raise SegmentError when it is not there."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        raise SegmentError(
            f"[instance] shm_directory {directory}: {error.strerror}; name a directory that is"
            " in memory, such as /dev/shm"
        ) from None
    return found.f_bavail * found.f_frsize


def require_room(plan: MemoryPlan, directory: Path) -> None:
    """Raise ShmFull, with the sizes and the key to lower, when the plan does not fit."""
    free = free_bytes(directory)
    if plan.total_bytes > free:
        raise ShmFull(
            directory=str(directory),
            needed_bytes=plan.total_bytes,
            free_bytes=free,
            key=plan.key_to_lower,
        )
