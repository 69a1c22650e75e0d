"""What has happened to connections lately, as rows for people: `top` and the screen. Floor 4.

Reads the event streams from outside, as `stat` reads pages, so it works without a control process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.core.enums import EventKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.control.occurrences import EventLog, Occurrence
from pipeline.shm.names import InstancePaths

#: Rows that are kept, of all connections together.
KEPT: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """A row: `kind` is state, gap, overrun or quarantine; times are UTC ns; `number` grows.

    `instruments`: a gap of so many alone, which changed their connection; 0: of the connection.
    """

    number: int
    kind: str
    connection: int
    state: str
    reason: str
    detail: int
    start_ts_ns: int
    end_ts_ns: int
    instruments: int = 0

    def document(self) -> dict[str, Any]:
        """Return the row in JSON's types."""
        return asdict(self)


class Timeline:
    """The newest happenings of an instance; `follow` as often as you like."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._logs: dict[int, EventLog] = {}
        self._rows: deque[Happening] = deque(maxlen=KEPT)
        self._count = 0

    def follow(self, connections: Iterable[int]) -> None:
        """Take in what is new of these connections, and forget the logs of others."""
        present = set(connections)
        fresh = [found for number in sorted(present) for found in self._news(number)]
        for number in self._logs.keys() - present:
            fresh += self._logs.pop(number).news()  # how it ended
        for found in sorted(fresh, key=lambda one: one.end_ts_ns):
            self._count += 1
            self._rows.append(_row(self._count, found))

    def after(self, number: int) -> list[Happening]:
        """Return the rows that came after row `number`, the oldest first; 0: all that is kept."""
        return [row for row in self._rows if row.number > number]

    def _news(self, number: int) -> list[Occurrence]:
        try:
            if number not in self._logs:
                self._logs[number] = EventLog(self._paths, number)
            return list(self._logs[number].news())
        except (FileNotFoundError, SegmentError, LayoutMismatch):
            return []  # it comes or goes at this moment


def _row(number: int, found: Occurrence) -> Happening:
    is_state = found.kind is EventKind.STATE
    return Happening(
        number=number,
        kind=found.kind.name.lower(),
        connection=found.connection,
        state=found.state.name if is_state else "",
        reason=found.reason.name,
        detail=found.detail if is_state else 0,
        start_ts_ns=found.start_ts_ns,
        end_ts_ns=found.end_ts_ns,
        instruments=found.instruments,
    )
