"""The same ticks over 1, 3 and 12 connections: does a tick get dearer?

    [exchange, 72,000 ticks/s in all] -> N x [feed] -> [decoder] -> [strategy]

A regression here is a pipeline that grows dearer faster than its market. 3,000 instruments a
connection, full mode; 72,000 ticks/s are 2 a second of each of 36,000 instruments. Frames have 100
packets with any number of connections, so 720 frames/s in all: each is one read of one feed, but
twelve feeds have a twelfth of them each, and so have cold caches at each. Counted is the CPU of
supervisor, feeds and decoder per tick delivered, once each ring has gone round: until then every
page that is touched for the first time costs a fault, once in a process's life. Nobody
naps: that is a cost by the clock, beside which the growth would look smaller.

All three pipelines are there at once and go on by turns (`benchmarks/turns.py`), half a second
each: as long as what feeds and supervisor do twice a second by the clock, so that each turn has it
once. The lead before it is for what the exchange owes after its halt, which it sends in a burst of
a tenth of a second's ticks, and for the caches. Judged is the median of what the rounds differ by.

The bare receivers, by turns in the same minutes, are as many processes that poll and recv the same
bytes, in C, and do nothing with them. Ours do not poll (as a rule): what the receivers grow by is
more than what feeds must grow by.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.children import Asked
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape
from benchmarks.turns import Slice, Turns
from pipeline.core.clock import NS_PER_S

RATE = 72_000.0
PER_FRAME = 100
FRAME_BYTES = 4 + 2 + PER_FRAME * (2 + 184)
CONNECTIONS = (1, 3, 12)
GOAL = Goal(must=30, aim=10)
BARE = "bare receivers"
#: Rings hold 4 s of 2 packets/s of each instrument: so long do one connection's take to go round.
_ROUND_S = 4 * 2 * 3000 / RATE
_GROUPS = {"feeds": ("feed",), "decoder": ("decoder",), "supervisor": ("supervisor",)}
#: Of the rounds, how many have a turn of the bare receivers, too.
_BARE_EVERY: Final = 3
_GROUP: Final = f"{RATE:,.0f} ticks/s over so many connections"


def _start(bench: Bench, connections: int) -> PipelineRun:
    shape = Shape(
        per_frame=PER_FRAME, rate=RATE, connections=connections, own_exchange=True, halting=True,
        decoder_nap_us=0, strategy_nap_us=0,
    )  # fmt: skip
    run = bench.stack.enter_context(PipelineRun(shape))
    round_s = 1.1 * _ROUND_S * connections
    run.watch(warm_s=bench.pick(tiny=0.2, quick=1.0 + round_s, full=1.0 + round_s), seconds=0.1)
    run.halt()
    return run


def _start_bare(bench: Bench, connections: int) -> Asked:
    line = [str(connections), str(FRAME_BYTES), str(RATE / PER_FRAME)]
    return bench.children.ask(["-m", "benchmarks.peers.bare_receivers", *line])


def _ask_bare(asked: Asked, *, lead_s: float, seconds: float) -> float:
    """Return the CPU in ns for as many bytes as a tick has."""
    found = asked.answer(f"{lead_s} {seconds}", timeout_s=30)
    return float(found["cpu_s"] * NS_PER_S / (found["frames"] * PER_FRAME))


def _cost(one: Slice, groups: Sequence[str] = tuple(_GROUPS)) -> float:
    return sum(one.cpu_s[group] for group in groups) * NS_PER_S / max(one.ticks, 1)


def run(bench: Bench) -> None:
    """Let all go on by turns, then see how much the cost has grown."""
    numbers = bench.pick(tiny=(1, 3), quick=CONNECTIONS, full=CONNECTIONS)
    lead_s = bench.pick(tiny=0.05, quick=0.15, full=0.15)
    seconds = bench.pick(tiny=0.1, quick=0.5, full=0.5)
    runs = {number: _start(bench, number) for number in numbers}
    turns = {number: Turns(one, _GROUPS) for number, one in runs.items()}
    receivers = {number: _start_bare(bench, number) for number in numbers}
    bare: dict[int, list[float]] = {number: [] for number in numbers}
    source = random.Random(1)
    for turn in bench.rounds(bench.pick(tiny=1, quick=8, full=40)):
        # Any order, so that nobody always comes after the same one.
        for number in source.sample(numbers, len(numbers)):
            turns[number].take(seconds, lead_s=lead_s)
            if turn % _BARE_EVERY == 0:
                found = _ask_bare(receivers[number], lead_s=lead_s, seconds=seconds)
                bare[number].append(found)
    for one in runs.values():
        one.finish()
    _note_costs(bench, {number: each.slices for number, each in turns.items()}, bare)


def _note_costs(
    bench: Bench, slices: Mapping[int, list[Slice]], bare: Mapping[int, list[float]]
) -> None:
    path = Quantity(key="", group=_GROUP, unit="ns/tick, CPU")
    for number, found in slices.items():
        bench.note(path, f"{OURS}, {number} x 3,000 instruments", [_cost(one) for one in found])
    for number, costs in bare.items():
        bench.note(path, f"{BARE}, {number}", costs)
    for part in ("feeds", "decoder"):
        quantity = Quantity(key="", group=f"{_GROUP}: {part}", unit="ns/tick, CPU")
        for number, found in slices.items():
            case = f"{OURS}, {number} x 3,000 instruments"
            bench.note(quantity, case, [_cost(one, [part]) for one in found])
    most = max(slices)
    for number, what in ((1, "1 -> 12 connections"), (3, "9 k -> 36 k instruments")):
        if number < most:
            _note_growth(bench, what, slices[number], slices[most], (bare[number], bare[most]))


def _note_growth(
    bench: Bench, what: str, small: list[Slice], large: list[Slice],
    bare: tuple[list[float], list[float]],
) -> None:  # fmt: skip
    group = f"cost per tick at equal rate, {what}, median of the rounds"
    quantity = Quantity(key="", group=group, unit="% more", goal=GOAL)
    grown = {
        "in all": _growth([_cost(one) for one in small], [_cost(one) for one in large]),
        **{
            part: _growth(
                [_cost(one, [part]) for one in small], [_cost(one, [part]) for one in large]
            )
            for part in ("feeds", "decoder")
        },
        BARE: _growth(*bare),
    }
    for case, part in ((OURS, "in all"), (BARE, BARE)):
        bench.note(quantity, case, [max(0.0, float(np.median(grown[part])))])
    told = "; ".join(
        f"{part} {np.median(found):+.1f} % (half of the rounds {np.quantile(found, 0.25):+.1f} to "
        f"{np.quantile(found, 0.75):+.1f})"
        for part, found in grown.items()
    )
    bench.remarks.append(
        f"{what}, {len(small)} rounds: {told}; at a load of {os.getloadavg()[0]:.1f} in the end "
        "(the measured runs included)"
    )


def _growth(small: Sequence[float], large: Sequence[float]) -> list[float]:
    """Return by how many percent the cost has grown in each round that had any."""
    found = [100 * (more / less - 1) for less, more in zip(small, large, strict=True) if less > 0]
    return found or [0.0]


SCENARIOS = [
    Scenario(
        name="scaling", about="cost per tick over 1, 3 and 12 connections at equal rate", run=run,
        seconds_max=150.0,
    )
]  # fmt: skip
