"""What a KiteTicker wants, as the assignment tables of the instance that it started. Floor 7.

The facade is the tables' one writer. An instrument keeps its connection and its slot of the latest
table while it is subscribed; a slot that was given back is the last one to be used again. The
feeds send the difference to what is on the wire, after each change and each reconnect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import Mode, Role, SegmentKind
from pipeline.core.errors import CapacityError
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable


class _Place(NamedTuple):
    connection: int
    slot: int


class Assignments:
    """The wanted instruments of all connections; used under the ticker's lock."""

    def __init__(self, paths: InstancePaths, connections: int) -> None:
        kind = SegmentKind.ASSIGNMENT
        self._tables = [
            AssignmentTable(Segment.attach(paths.segment(kind, number), kind, writable=True))
            for number in range(connections)
        ]
        self._free: list[deque[int]] = []
        first = 0
        for table in self._tables:
            table.take_over(Role.FACADE)
            self._free.append(deque(range(first, first + table.capacity)))
            first += table.capacity
        self._capacity = first
        self._places: dict[int, _Place] = {}
        self._rows: list[dict[int, Mode]] = [{} for _ in self._tables]

    def write(self, wanted: Mapping[int, Mode]) -> None:
        """Make the tables say this; raise CapacityError, with nothing changed, for too many."""
        if len(wanted) > self._capacity:
            raise too_many(len(wanted), self._capacity, len(self._tables))
        changed = set()
        for token in self._places.keys() - wanted.keys():
            place = self._places.pop(token)
            self._free[place.connection].append(place.slot)
            del self._rows[place.connection][token]
            changed.add(place.connection)
        for token, mode in wanted.items():
            place = self._places.get(token) or self._find_place(token)
            rows = self._rows[place.connection]
            if rows.get(token) is not mode:
                rows[token] = mode
                changed.add(place.connection)
        for connection in changed:
            self._write(connection)

    def _find_place(self, token: int) -> _Place:
        connection = max(range(len(self._free)), key=lambda number: len(self._free[number]))
        place = self._places[token] = _Place(connection, self._free[connection].popleft())
        return place

    def _write(self, connection: int) -> None:
        wanted = self._rows[connection]
        rows = np.zeros(len(wanted), layout.dtypes["AssignmentC"])
        rows["instrument_token"] = list(wanted)
        rows["mode"] = list(wanted.values())
        rows["slot"] = [self._places[token].slot for token in wanted]
        rows["owner_epoch"] = 1
        self._tables[connection].write(rows)


def too_many(count: int, capacity: int, connections: int) -> CapacityError:
    """Return the error for more instruments than the connections carry."""
    noun = "connection carries" if connections == 1 else "connections carry"
    return CapacityError(
        f"{count} instruments, and {connections} {noun} {capacity}: subscribe to fewer, or use "
        "KiteTicker(..., connections=N), up to the 3 that Kite gives to an API key"
    )
