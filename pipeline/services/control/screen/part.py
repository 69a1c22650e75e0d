"""One owner's part of what the screen shows of an instance with several. Floor 4; pure.

What his connections, decoders and readers do is his; the supervisor, the control process and the
gateway are everybody's, and that they run is told to all. What the gateway counts, and how many
processes died, tells of everybody's clients and connections together: it is told to nobody here.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any, Final

from pipeline.services.status.model import InstanceStatus, Process, Reader

#: Processes that serve everybody.
_SHARED: Final = frozenset({"supervisor", "control", "gateway", "simulator"})
#: What of the gateway is told to everybody.
_OF_THE_GATEWAY: Final = frozenset({"pid", "alive", "port"})
_LATENCIES: Final = ("latency", "latency_since_start")


def part_of(status: InstanceStatus, owner: str, decoders: Container[int]) -> InstanceStatus:
    """Return a status with what is an owner's and what is everybody's; `decoders` are his."""
    own = {one.number for one in status.connections if one.owner == owner}
    others = {one.number for one in status.connections} - own
    return replace(
        status,
        connections=[one for one in status.connections if one.number in own],
        decoders=[one for one in status.decoders if one.number in decoders],
        processes=[one for one in status.processes if _is_his(one, own, decoders)],
        readers=[one for one in status.readers if _reads(one, own) and not _reads(one, others)],
        strategies=[],
        deaths=0,
    )


def without_counts(gateway: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the gateway's row with None for what it counts, of whomever."""
    if gateway is None:
        return None
    found = {name: value if name in _OF_THE_GATEWAY else None for name, value in gateway.items()}
    for name in _LATENCIES:
        latency = gateway[name]
        found[name] = latency and {**latency, "samples": None}
    return found


def _is_his(process: Process, connections: Container[int], decoders: Container[int]) -> bool:
    if process.role == "feed":
        return process.number in connections
    if process.role == "decoder":
        return process.number in decoders
    return process.role in _SHARED


def _reads(reader: Reader, connections: Container[int]) -> bool:
    return any(cursor.connection in connections for cursor in reader.cursors)
