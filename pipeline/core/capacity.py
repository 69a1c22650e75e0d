"""Who gets which instrument: explicit connections first, then the first that has room. Floor 1.

Pure: the same subscriptions always land on the same connections, so that a restart finds them
where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class BrokerLimits(NamedTuple):
    """What a broker allows; each broker's `limits` module has the numbers and their source."""

    instruments_per_connection: int
    connections_per_key: int


class Demand(NamedTuple):
    """Instruments wanted in one mode; `connection` None leaves the place to us.

    `among`: the connections that may carry them; None: every one may.
    """

    tokens: tuple[int, ...]
    mode: str
    connection: int | None
    among: frozenset[int] | None = None


class Placement(NamedTuple):
    """`wanted[connection]` is what it carries; `unplaced[demand]` counts what found no room."""

    wanted: tuple[tuple[tuple[int, str], ...], ...]
    unplaced: tuple[int, ...]


def place(demands: Sequence[Demand], capacities: Sequence[int]) -> Placement:
    """Spread demands over connections with room for so many instruments each.

    Demands that name their connection are served before those that do not; an unknown
    connection's instruments count as unplaced.
    """
    wanted: list[list[tuple[int, str]]] = [[] for _ in capacities]
    unplaced = [0] * len(demands)
    order = sorted(range(len(demands)), key=lambda i: demands[i].connection is None)
    for number in order:
        demand = demands[number]
        rest = list(demand.tokens)
        for connection in _candidates(demand, len(capacities)):
            room = capacities[connection] - len(wanted[connection])
            wanted[connection] += [(token, demand.mode) for token in rest[:room]]
            rest = rest[room:]
        unplaced[number] = len(rest)
    return Placement(tuple(tuple(rows) for rows in wanted), tuple(unplaced))


def _candidates(demand: Demand, count: int) -> Sequence[int]:
    if demand.connection is None:
        return [n for n in range(count) if demand.among is None or n in demand.among]
    return range(demand.connection, min(demand.connection + 1, count))
