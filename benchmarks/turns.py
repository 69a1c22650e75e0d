"""Runs that are measured by turns: all of them are there, and only one at a time goes on.

A machine that is shared gets faster and slower by a tenth within seconds, so that two runs one
after the other differ by that although they are equal. Here each goes on for a slice, while all
processes of the others are stopped (SIGSTOP) and cost nothing, not even a cache. A slice counts
from its first moment: what a process has put off while it was stopped, it does then, and what it
does every half second by the clock it does twice as often by its ticks, never less. With a lead,
what comes first does not count, and neither does the halt: for runs of different numbers of
processes, each of which pays for being stopped.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.run import PipelineRun
from benchmarks.strategy import NAME
from benchmarks.window import cpu_s
from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.shm.segment import Segment

Array = np.ndarray[Any, Any]

#: What is dropped of the dearest slices, and as much of the cheapest: a neighbour's burst.
TRIM: Final = 0.25


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What one run did in one slice: ticks delivered, and CPU by group of processes."""

    seconds: float
    ticks: int
    cpu_s: Mapping[str, float]


class Turns:
    """One run that takes turns with others; it is halted between them.

    `groups` are the beginnings of the names of the processes that count together. Make it when all
    of the run's processes are there.
    """

    def __init__(self, run: PipelineRun, groups: Mapping[str, tuple[str, ...]]) -> None:
        pids = run.pids()
        page = next(run.paths.readers.glob(f"{NAME}.*"))
        self.slices: list[Slice] = []
        self._run = run
        self._cursors = Segment.attach(page, SegmentKind.READER).record("ReaderC")["cursors"]
        self._pids = {
            group: [pid for name, pid in pids.items() if name.startswith(roles)]
            for group, roles in groups.items()
        }

    def take(self, seconds: float, *, lead_s: float = 0.0) -> None:
        """Go on for a slice, after a lead that does not count if there is one."""
        began = self._so_far()
        self._run.go_on()
        if lead_s:
            time.sleep(lead_s)
            began = self._so_far()
        time.sleep(seconds)
        ended = self._so_far()
        self._run.halt()
        self.slices.append(_between(began, ended if lead_s else self._so_far()))

    def _so_far(self) -> Slice:
        return Slice(
            seconds=monotonic_ns() / NS_PER_S,
            ticks=int(self._cursors["delivered"].sum()),
            cpu_s={group: sum(map(cpu_s, pids)) for group, pids in self._pids.items()},
        )


def _between(began: Slice, ended: Slice) -> Slice:
    return Slice(
        seconds=ended.seconds - began.seconds,
        ticks=ended.ticks - began.ticks,
        cpu_s={group: cpu - began.cpu_s[group] for group, cpu in ended.cpu_s.items()},
    )


def by_turns(runs: Sequence[Turns], *, rounds: int, seconds: float, seed: int) -> None:
    """Let all have `rounds` slices of about so many seconds, in one order and then in the other."""
    source = random.Random(seed)
    order = list(runs)
    for _ in range(rounds):
        for run in order:
            run.take(seconds * source.uniform(0.7, 1.3))
        order.reverse()


def ns_per_tick(slices: Sequence[Slice], group: str) -> float:
    """Return the mean of the middle half of the slices."""
    each = sorted(one.cpu_s[group] * NS_PER_S / max(one.ticks, 1) for one in slices)
    cut = int(TRIM * len(each))
    return float(np.mean(each[cut : len(each) - cut]))


def share_of_a_core(slices: Sequence[Slice], group: str) -> float:
    """Return how much of a core a group took over all slices, in percent."""
    return 100 * sum(one.cpu_s[group] for one in slices) / sum(one.seconds for one in slices)
