"""Runs a selection of scenarios and collects what they found; ends everything on Ctrl-C.

A scenario that misses a demand may be tried again: the samples of all tries count, and the best
is judged, so that a neighbour's burst fails nobody while a slower version fails every time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from benchmarks.harness.bench import Bench, Scenario, Size
from benchmarks.harness.figure import OURS, Figure, Judgement, Kind, judge, merge
from benchmarks.harness.machine import machine, versions
from pipeline.core.errors import PipelineError

#: What a scenario may take beyond its own time to start and end its processes.
_GRACE_S: Final = 30.0


class TooLong(RuntimeError):
    """A scenario did not end in its time."""


@dataclass(kw_only=True)
class Outcome:
    """What one scenario found; `failed` is the reason when it could not be measured.

    `load` is the machine's load average when it began: how much the neighbours wanted.
    """

    scenario: Scenario
    figures: list[Figure] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failed: str = ""
    seconds: float = 0.0
    tries: int = 0
    load: float = 0.0

    @property
    def leads(self) -> list[Figure]:
        """The figures for a summary: ours, and all of a group that has none of ours."""
        ours = {figure.group for figure in self.figures if figure.case == OURS}
        return [one for one in self.figures if one.case == OURS or one.group not in ours]

    @property
    def judgements(self) -> list[Judgement]:
        """Every demand on its figures."""
        return judge(self.figures)

    def missed(self, kind: Kind) -> list[Judgement]:
        """Return the demands of a kind that do not hold."""
        return [found for found in self.judgements if found.kind is kind and found.holds is False]


@dataclass(kw_only=True)
class Results:
    """A whole run."""

    size: Size
    machine: dict[str, Any]
    versions: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)

    def holds(self, kind: Kind) -> bool:
        """Return whether everything was measured and no demand of that kind was missed."""
        return not any(outcome.failed or outcome.missed(kind) for outcome in self.outcomes)


def run_scenarios(
    chosen: Sequence[Scenario],
    size: Size,
    *,
    tries: int = 1,
    gate: Kind | None = Kind.MUST,
    on_begin: Callable[[Scenario], None] = lambda scenario: None,
    on_end: Callable[[Outcome], None] = lambda outcome: None,
) -> Results:
    """Run them one after the other; `tries` are made while a demand of `gate` is missed."""
    results = Results(size=size, machine=machine(), versions=versions())
    with _termination_as_interrupt():
        for scenario in chosen:
            on_begin(scenario)
            outcome = Outcome(scenario=scenario, load=os.getloadavg()[0])
            for _ in range(tries):
                _try_once(outcome, size)
                if gate is None or not (outcome.failed or outcome.missed(gate)):
                    break
            results.outcomes.append(outcome)
            on_end(outcome)
    return results


def _try_once(outcome: Outcome, size: Size) -> None:
    scenario = outcome.scenario
    began_s = time.monotonic()
    bench = Bench(size, seconds_max=scenario.seconds_max)
    outcome.failed = ""
    try:
        with bench.stack, _alarm(scenario.seconds_max + _GRACE_S):
            scenario.run(bench)
    except (RuntimeError, OSError, PipelineError) as error:
        outcome.failed = f"{type(error).__name__}: {error}"
    outcome.figures = merge(outcome.figures, bench.figures)
    outcome.skipped, outcome.remarks = bench.skipped, bench.remarks
    outcome.seconds += time.monotonic() - began_s
    outcome.tries += 1


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"it did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left_s)  # whoever runs us may have a timer, too


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that what was started is ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
