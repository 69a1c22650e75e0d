"""What the control process costs those whose ticks it never touches.

    [exchange, 100,000 ticks/s] -> 3 x [feed] -> [decoder] -> [strategy]
                          with and without: [control: pool, HTTP]

A regression here means that whoever lets the pool place instruments pays for it with each tick: by
tables that are read more often, by slots strewn over them, or by caches that a third party empties.
9,000 instruments, full mode. The connections from the config have the very instruments, in the very
order, that the pool deals out to its own, so that both are sent the same frames; that is checked.
Counted is the CPU of supervisor, feeds and decoder per tick delivered, by /proc/PID/schedstat; that
of the control process is told beside it. Nobody naps: that is a cost by the clock, beside which a
pool's would look smaller.

A pair is two runs with and two without a pool, in twos that go on by turns, a slice of about 0.25 s
each (`benchmarks/turns.py`), after their rings have gone round once. Of the second two the other
one is started first, because that makes a difference of its own. Judged is the median of what seven
pairs differ by.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape
from benchmarks.turns import Slice, Turns, by_turns, ns_per_tick, share_of_a_core

RATE = 100_000.0
PER_FRAME = 100
INSTRUMENTS = 9000
WITHOUT, WITH = f"{OURS}, connections from the config", f"{OURS}, with a pool"
_ORDERS = ((WITHOUT, WITH), (WITH, WITHOUT))
_GROUPS = {"data path": ("supervisor", "feed", "decoder"), "control": ("control",)}
#: Rings hold 4 s of 2 packets/s of each of 9,000 instruments; each page's first touch is a fault.
_ROUND_S = 4 * 2 * INSTRUMENTS / RATE


def _start(bench: Bench, stack: ExitStack, case: str) -> PipelineRun:
    pooled = case == WITH
    shape = Shape(
        per_frame=PER_FRAME, rate=RATE, own_exchange=True, pooled=pooled, dealt=not pooled,
        halting=True, decoder_nap_us=0, strategy_nap_us=0,
    )  # fmt: skip
    run = stack.enter_context(PipelineRun(shape))
    run.wait_for(lambda: sum(map(len, run.assigned().values())) == INSTRUMENTS, "the assignment")
    warm_s = bench.pick(tiny=0.2, quick=0.8 + _ROUND_S, full=0.8 + _ROUND_S)
    run.watch(warm_s=warm_s, seconds=0.1)
    run.halt()
    return run


def _measure(bench: Bench, order: Sequence[str], seed: int) -> dict[str, list[Slice]]:
    """Return the slices of both cases, of two runs that were started in that order."""
    with ExitStack() as stack:
        runs = [_start(bench, stack, case) for case in order]
        if runs[0].assigned() != runs[1].assigned():
            raise RuntimeError(
                "the pool has dealt the instruments out otherwise than the config: its connections "
                "get other frames, so that the two cannot be compared"
            )
        turns = [Turns(run, _GROUPS) for run in runs]
        rounds = bench.pick(tiny=1, quick=12, full=12)
        by_turns(turns, rounds=rounds, seconds=0.25, seed=seed)
        for run in runs:
            run.finish()
    return {case: each.slices for case, each in zip(order, turns, strict=True)}


def run(bench: Bench) -> None:
    """Measure both by turns, then what each pair differs by."""
    cost: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    control: list[float] = []
    for number in bench.rounds(bench.pick(tiny=1, quick=2, full=7)):
        found: dict[str, list[Slice]] = {WITHOUT: [], WITH: []}
        for order in bench.pick(tiny=_ORDERS[:1], quick=_ORDERS, full=_ORDERS):
            for case, slices in _measure(bench, order, seed=number).items():
                found[case] += slices
        for case, slices in found.items():
            cost[case].append(ns_per_tick(slices, "data path"))
        control.append(share_of_a_core(found[WITH], "control"))
    group = f"{RATE:,.0f} ticks/s, with and without a pool"
    path = Quantity(key="", group=f"{group}: data path", unit="ns/tick, CPU")
    for case, samples in cost.items():
        bench.note(path, case, samples)
    beside = Quantity(key="", group=f"{group}: the control process", unit="% of a core")
    bench.note(beside, WITH, control)
    _note_pairs(bench, group, cost)


def _note_pairs(bench: Bench, group: str, cost: dict[str, list[float]]) -> None:
    pairs = zip(cost[WITHOUT], cost[WITH], strict=True)
    grown = [100 * (pooled / alone - 1) for alone, pooled in pairs]
    quantity = Quantity(
        key="", group=f"{group}: the data path's cost, median of the pairs", unit="% more",
        goal=Goal(must=3),
    )  # fmt: skip
    bench.note(quantity, OURS, [max(0.0, float(np.median(grown)))])
    told = ", ".join(f"{one:+.1f}" for one in grown)
    bench.remarks.append(
        f"{group}: the pairs differ by {told} %, median {np.median(grown):+.1f}, at a load of "
        f"{os.getloadavg()[0]:.1f} in the end (the measured runs included). Compared is the CPU of "
        "supervisor, feeds and decoder per tick delivered, with the same frames on both sides; the "
        "control process's own is not in it"
    )


SCENARIOS = [
    Scenario(
        name="control-cost", about="what a pool costs the data path's CPU per tick", run=run,
        seconds_max=330.0,
    )
]  # fmt: skip
