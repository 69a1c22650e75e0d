"""Rates between two looks at an instance. Floor 4; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.services.status.model import InstanceStatus


class Rates(NamedTuple):
    """Per second: ticks and bytes by connection number, ticks by reader (name, pid)."""

    ticks: Mapping[int, float]
    bytes: Mapping[int, float]
    delivered: Mapping[tuple[str, int], float]


NONE = Rates({}, {}, {})


def rates(before: InstanceStatus, after: InstanceStatus) -> Rates:
    """Return what happened per second between two snapshots; empty across a restart."""
    seconds = (after.taken_mono_ns - before.taken_mono_ns) / NS_PER_S
    if seconds <= 0 or before.instance_id != after.instance_id:
        return NONE
    old = {c.number: c for c in before.connections}
    readers = {(r.name, r.pid): r.delivered for r in before.readers}
    both = [(c, old[c.number]) for c in after.connections if c.number in old]
    return Rates(
        ticks={c.number: (c.ticks.tail - o.ticks.tail) / seconds for c, o in both},
        bytes={
            c.number: (c.feed_counters["bytes_in"] - o.feed_counters["bytes_in"]) / seconds
            for c, o in both
        },
        delivered={
            (r.name, r.pid): (r.delivered - readers[r.name, r.pid]) / seconds
            for r in after.readers
            if (r.name, r.pid) in readers
        },
    )
