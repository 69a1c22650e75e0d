"""The same ticks over 1, 3 and 12 connections: does a tick get dearer?

    [exchange, 72,000 ticks/s in all] -> N x [feed] -> [decoder] -> [strategy]

A regression here is a pipeline that grows dearer faster than its market. 3,000 instruments a
connection, frames of 100 packets, full mode; 72,000 ticks/s are 2 a second of each of 36,000
instruments. Counted is the CPU of supervisor, feeds and decoder per tick delivered, the best of
the rounds, which take turns.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Figure, Goal
from benchmarks.run import PipelineRun, Shape

RATE = 72_000.0
CONNECTIONS = (1, 3, 12)
GOAL = Goal(must=30, aim=10)


def _measure(bench: Bench, connections: int) -> dict[str, float]:
    shape = Shape(per_frame=100, rate=RATE, connections=connections, own_exchange=True)
    with PipelineRun(shape) as pipeline:
        pipeline.watch(
            warm_s=bench.pick(tiny=0.2, quick=0.5, full=1.0),
            seconds=bench.pick(tiny=0.3, quick=1.5, full=2.0),
        )
        [window] = pipeline.finish()
    own = window.cores("supervisor", "feed", "decoder") * window.seconds
    return {"cpu": own * 1e9 / max(window.ticks, 1)}


def run(bench: Bench) -> None:
    """Measure each number of connections in turn, then how much the cost has grown."""
    numbers = bench.pick(tiny=(1, 3), quick=CONNECTIONS, full=CONNECTIONS)
    names = {number: f"{OURS}, {number} x 3,000 instruments" for number in numbers}
    cases = [
        Case(name=name, measure=partial(_measure, bench, number)) for number, name in names.items()
    ]
    group = f"{RATE:,.0f} ticks/s over so many connections"
    bench.compare(
        cases, [Quantity(key="cpu", group=group, unit="ns/tick, CPU")],
        rounds=bench.pick(tiny=1, quick=1, full=2),
    )  # fmt: skip
    cost = {figure.case: figure for figure in bench.figures}
    most = max(numbers)
    for number, what in ((1, "1 -> 12 connections"), (3, "9 k -> 36 k instruments")):
        if number < most:
            _note_growth(bench, what, cost[names[number]], cost[names[most]])


def _note_growth(bench: Bench, what: str, small: Figure, large: Figure) -> None:
    grown = 100 * (large.best / small.best - 1)
    quantity = Quantity(
        key="", group=f"cost per tick at equal rate, {what}", unit="% more", goal=GOAL
    )
    bench.note(quantity, OURS, [max(0.0, grown)])


SCENARIOS = [
    Scenario(
        name="scaling", about="cost per tick over 1, 3 and 12 connections at equal rate", run=run
    )
]
