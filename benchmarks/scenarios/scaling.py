"""The same ticks over 1, 3 and 12 connections: does a tick get dearer?

    [exchange, 72,000 ticks/s in all] -> N x [feed] -> [decoder] -> [strategy]

A regression here is a pipeline that grows dearer faster than its market. 3,000 instruments a
connection, full mode; 72,000 ticks/s are 2 a second of each of 36,000 instruments. Frames have 100
packets with any number of connections, so 720 frames/s in all: each is one read of one feed, but
twelve feeds have a twelfth of them each, and so have cold caches at each. A window begins when
each ring has gone round once: until then every page that is touched for the first time costs a
fault, once in a process's life. Counted is the CPU of supervisor, feeds and decoder per tick
delivered, the best of the rounds, which take turns.

The bare receivers beside it are as many processes that poll and recv the same bytes, in C, and do
nothing with them. What they grow by, feeds must grow by.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Figure, Goal
from benchmarks.run import PipelineRun, Shape

RATE = 72_000.0
PER_FRAME = 100
FRAME_BYTES = 4 + 2 + PER_FRAME * (2 + 184)
CONNECTIONS = (1, 3, 12)
GOAL = Goal(must=30, aim=10)
BARE = "bare receivers"
#: Rings hold 4 s of 2 packets/s of each instrument: so long do one connection's take to go round.
_ROUND_S = 4 * 2 * 3000 / RATE
_ROLES = {"feeds": ("feed",), "decoder": ("decoder",), "supervisor": ("supervisor",)}


def _measure(bench: Bench, connections: int) -> dict[str, float]:
    shape = Shape(per_frame=PER_FRAME, rate=RATE, connections=connections, own_exchange=True)
    round_s = 1.1 * _ROUND_S * connections
    with PipelineRun(shape) as pipeline:
        pipeline.watch(
            warm_s=bench.pick(tiny=0.2, quick=0.5 + round_s, full=1.0 + round_s),
            seconds=bench.pick(tiny=0.3, quick=1.5, full=2.0),
        )
        [window] = pipeline.finish()
    found = {
        name: window.cores(*roles) * window.seconds * 1e9 / max(window.ticks, 1)
        for name, roles in _ROLES.items()
    }
    return found | {"cpu": sum(found.values())}


def _measure_bare(bench: Bench, connections: int) -> dict[str, float]:
    seconds = bench.pick(tiny=0.4, quick=2.0, full=3.0)
    line = [str(connections), str(FRAME_BYTES), str(RATE / PER_FRAME), str(seconds)]
    found = bench.children.result(["-m", "benchmarks.peers.bare_receivers", *line], timeout_s=30)
    return {"cpu": found["cpu"] * 1e3 / PER_FRAME}


def run(bench: Bench) -> None:
    """Measure each number of connections in turn, then how much the cost has grown."""
    numbers = bench.pick(tiny=(1, 3), quick=CONNECTIONS, full=CONNECTIONS)
    names = {number: f"{OURS}, {number} x 3,000 instruments" for number in numbers}
    bare = {number: f"{BARE}, {number}" for number in numbers}
    cases = [
        Case(name=name, measure=partial(_measure, bench, number)) for number, name in names.items()
    ] + [
        Case(name=name, measure=partial(_measure_bare, bench, number))
        for number, name in bare.items()
    ]
    group = f"{RATE:,.0f} ticks/s over so many connections"
    quantities = [Quantity(key="cpu", group=group, unit="ns/tick, CPU")] + [
        Quantity(key=part, group=f"{group}: {part}", unit="ns/tick, CPU")
        for part in ("feeds", "decoder")
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=1, full=3))
    cost = {figure.case: figure for figure in bench.figures if figure.group == group}
    most = max(numbers)
    for number, what in ((1, "1 -> 12 connections"), (3, "9 k -> 36 k instruments")):
        if number < most:
            _note_growth(bench, what, OURS, cost[names[number]], cost[names[most]])
            _note_growth(bench, what, BARE, cost[bare[number]], cost[bare[most]])


def _note_growth(bench: Bench, what: str, case: str, small: Figure, large: Figure) -> None:
    grown = 100 * (large.best / small.best - 1)
    quantity = Quantity(
        key="", group=f"cost per tick at equal rate, {what}", unit="% more", goal=GOAL
    )
    bench.note(quantity, case, [max(0.0, grown)])


SCENARIOS = [
    Scenario(
        name="scaling", about="cost per tick over 1, 3 and 12 connections at equal rate", run=run,
        seconds_max=100.0,
    )
]  # fmt: skip
