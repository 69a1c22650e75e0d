"""Hosted strategies, as their pages say. Floor 4."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import HostPhase, Role, SegmentKind
from pipeline.services.status.model import Process, Strategy
from pipeline.services.status.pages import age_s, attach
from pipeline.shm.names import InstancePaths

_ROLE = Role.STRATEGY.name.lower()
_RESTING = (HostPhase.NONE, HostPhase.WAITING)


def read_strategies(
    paths: InstancePaths, processes: Sequence[Process], now_mono_ns: int
) -> list[Strategy]:
    """Return the hosted strategies among the supervised processes, by number."""
    return [_strategy(paths, p, now_mono_ns) for p in processes if p.role == _ROLE]


def _strategy(paths: InstancePaths, process: Process, now: int) -> Strategy:
    record = attach(paths, SegmentKind.STRATEGY_STATUS, process.number).record("StrategyStatusC")
    phase = HostPhase(int(record["phase"]))
    phase_s = age_s(int(record["phase_since_mono_ns"]), now)
    known = process.alive and phase is not HostPhase.NONE
    limit_s = int(record["report_after_ns"]) / NS_PER_S
    return Strategy(
        name=process.name.partition(" ")[2],
        number=process.number,
        phase=phase.label if known else None,
        phase_s=phase_s if known else None,
        is_slow=known and phase not in _RESTING and (phase_s or 0) >= limit_s > 0,
        calls=int(record["calls"]),
        ticks=int(record["ticks"]),
        events=int(record["events"]),
        lost=int(record["lost"]),
        dropped=int(record["dropped"]),
        exceptions=int(record["exceptions"]),
        output_lines=int(record["output_lines"]),
        output_lines_dropped=int(record["output_lines_dropped"]),
    )
