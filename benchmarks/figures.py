"""What a benchmark measured: nanoseconds a unit, and how it stands to its peers.

Everything is CPU time of this process unless a benchmark says otherwise: these machines are
shared, and wall time there tells more of the neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

NS_PER_S: Final = 1_000_000_000
#: For `pytestmark`: CPU time of all threads of this process, user and system.
CPU_TIME: Final = pytest.mark.benchmark(timer=time.process_time)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `best` and `median` are of one unit; lower is better."""

    group: str
    case: str
    best: float
    median: float
    unit: str
    is_peer: bool


@dataclass
class Report:
    """The rows of a session, and free lines that a benchmark adds."""

    rows: list[Row] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report as text, peers with their ratio to the first row of the group."""
        lines = []
        for group in dict.fromkeys(row.group for row in self.rows):
            rows = [row for row in self.rows if row.group == group]
            own = next((row for row in rows if not row.is_peer), None)
            lines.append(group)
            lines += [_line(row, own) for row in rows]
        return lines + self.remarks


def _line(row: Row, own: Row | None) -> str:
    line = f"  {row.case:<44} best {row.best:>10,.1f}  median {row.median:>10,.1f}  {row.unit}"
    if row.is_peer and own is not None and own.best > 0:
        line += f"  {row.best / own.best:,.1f}x"
    return line


class Meter:
    """Times one function over whole rounds, and reports what one unit of it costs."""

    def __init__(self, benchmark: Any, report: Report, *, rounds: int) -> None:
        self._benchmark = benchmark
        self._report = report
        self.rounds = rounds

    def measure(
        self,
        function: Callable[[], object],
        *,
        units: int,
        case: str,
        group: str,
        unit: str = "ns",
        is_peer: bool = False,
        setup: Callable[[], object] | None = None,
    ) -> float:
        """Time `function`, which does `units` things; return the best ns of one."""
        self._benchmark.group = group
        self._benchmark.pedantic(
            function,
            setup=None if setup is None else lambda: setup() and None,
            rounds=self.rounds,
            iterations=1,
            warmup_rounds=1,
        )
        stats = self._benchmark.stats.stats
        best, median = (s * NS_PER_S / units for s in (stats.min, stats.median))
        self._benchmark.extra_info.update(best=best, median=median, unit=unit, units=units)
        self._report.rows.append(Row(group, case, best, median, unit, is_peer))
        return best
