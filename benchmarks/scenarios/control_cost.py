"""What the control process costs those whose ticks it never touches.

    [exchange, 100,000 ticks/s] -> 3 x [feed] -> [decoder] -> [strategy]
                          with and without: [control: pool, HTTP]

A regression here means that whoever lets the pool place instruments pays for it with each tick: by
tables that are read more often, or by caches that a third party empties. 9,000 instruments, full
mode. CPU of supervisor, feeds and decoder per tick delivered, of each run the least of six windows,
as a neighbour can only add to it; seven pairs of runs that take turns, and the median of what the
pairs differ by. The control process's own CPU is told beside it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape, Window

RATE = 100_000.0
PER_FRAME = 100
WITHOUT, WITH = f"{OURS}, connections from the config", f"{OURS}, with a pool"
_DATA_PATH = ("supervisor", "feed", "decoder")
#: Rings hold 4 s of 2 packets/s of each of 9,000 instruments; each page's first touch is a fault.
_ROUND_S = 4 * 2 * 9000 / RATE


def _measure(bench: Bench, *, pooled: bool) -> dict[str, float]:
    shape = Shape(per_frame=PER_FRAME, rate=RATE, own_exchange=True, pooled=pooled)
    with PipelineRun(shape) as pipeline:
        warm_s = bench.pick(tiny=0.2, quick=1.0 + _ROUND_S, full=1.0 + _ROUND_S)
        for _ in range(bench.pick(tiny=1, quick=3, full=6)):
            pipeline.watch(warm_s=warm_s, seconds=bench.pick(tiny=0.3, quick=1.0, full=1.5))
            warm_s = 0.0
        windows = pipeline.finish()
    return {
        "cpu": min(window.cores(*_DATA_PATH) * _ns_per_tick(window) for window in windows),
        "control": 100 * float(np.mean([window.cores("control") for window in windows])),
    }


def _ns_per_tick(window: Window) -> float:
    return window.seconds * 1e9 / max(window.ticks, 1)


def run(bench: Bench) -> None:
    """Measure both in turn, then what each pair differs by."""
    group = f"{RATE:,.0f} ticks/s, with and without a pool"
    cases = [
        Case(name=name, measure=partial(_measure, bench, pooled=name == WITH))
        for name in (WITHOUT, WITH)
    ]
    quantities = [
        Quantity(key="cpu", group=f"{group}: data path", unit="ns/tick, CPU"),
        Quantity(key="control", group=f"{group}: the control process", unit="% of a core"),
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=3, full=7))
    cost = {figure.case: figure.samples for figure in bench.figures if "data path" in figure.group}
    pairs = zip(cost[WITHOUT], cost[WITH], strict=True)
    grown = [100 * (pooled / alone - 1) for alone, pooled in pairs]
    quantity = Quantity(
        key="", group=f"{group}: the data path's cost, median of the pairs", unit="% more",
        goal=Goal(must=3),
    )  # fmt: skip
    bench.note(quantity, OURS, [max(0.0, float(np.median(grown)))])
    told = ", ".join(f"{one:+.1f}" for one in grown)
    bench.remarks.append(f"{group}: the pairs differ by {told} %")


SCENARIOS = [
    Scenario(
        name="control-cost", about="what a pool costs the data path's CPU per tick", run=run,
        seconds_max=240.0,
    )
]  # fmt: skip
