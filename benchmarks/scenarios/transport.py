"""The pipeline's hop from feed to decoder over faster-fifo's queue, and over ours: speed, deaths.

    [feed's place] -> frame ring | faster-fifo -> [decoder: records, commit, table, tick stream]

A regression here is what the choice of the ring was made for. Over the queue the decoder copies
what it gets into a private frame ring, and all else is the product's own. The kill test kills
decoder and feed in turn at random moments, as a crash would: a process that dies with the queue's
mutex in its hands leaves it locked, and then nothing moves any more and nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal

PEER = "faster-fifo"
KILLS = 30


def _speed(bench: Bench, transport: str, per_frame: int) -> dict[str, float]:
    seconds = bench.pick(tiny=0.1, quick=0.5, full=1.0)
    found = bench.children.result(
        ["-m", "benchmarks.peers.hop", "speed", transport, str(per_frame), str(seconds)],
        timeout_s=30,
    )
    ticks = max(1.0, found["frames"] * per_frame)
    return {"rate": ticks / found["seconds"] / 1e6, "cpu": found["cpu_s"] * 1e9 / ticks}


def run_speed(bench: Bench, *, per_frame: int) -> None:
    """Measure both transports in turn."""
    cases = [
        Case(name=OURS, measure=partial(_speed, bench, "ring", per_frame)),
        Case(
            name=PEER, measure=partial(_speed, bench, "faster-fifo", per_frame),
            package="faster_fifo",
        ),
    ]  # fmt: skip
    plural = "s" if per_frame > 1 else ""
    group = f"feed to decoder, {per_frame} packet{plural} a frame"
    quantities = [
        Quantity(key="rate", group=group, unit="M ticks/s", higher_is_better=True),
        Quantity(key="cpu", group=f"{group}: CPU of both", unit="ns/tick, CPU", goal=Goal(
            ahead={PEER: 1.0})),
    ]  # fmt: skip
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=2, full=4))


def _kill(bench: Bench, transport: str, kills: int, seeds: Iterator[int]) -> dict[str, float]:
    line = ["-m", "benchmarks.peers.hop", "kill", transport, "100", str(kills), str(next(seeds))]
    found = bench.children.result(line, timeout_s=60)
    if found["asleep_in"]:
        bench.remarks.append(
            f"{transport} stands still after {found['survived'] + 1} deaths, its processes "
            f"asleep in {', '.join(found['asleep_in'])}; nobody was told"
        )
    return {"survived": found["survived"]}


def run_kill(bench: Bench) -> None:
    """Kill the processes of both transports."""
    kills = bench.pick(tiny=4, quick=KILLS, full=KILLS)
    cases = [
        Case(name=OURS, measure=partial(_kill, bench, "ring", kills, count(1))),
        Case(
            name=PEER,
            measure=partial(_kill, bench, "faster-fifo", kills, count(1)),
            package="faster_fifo",
        ),
    ]
    quantity = Quantity(
        key="survived", group=f"deaths of feed and decoder survived, of {kills}", unit="deaths",
        higher_is_better=True, goal=Goal(must=kills),
    )  # fmt: skip
    bench.compare(cases, [quantity], rounds=bench.pick(tiny=1, quick=1, full=2))


SCENARIOS = [
    Scenario(
        name="transport-100", about="feed to decoder over the ring and over faster-fifo",
        run=partial(run_speed, per_frame=100),
    ),
    Scenario(
        name="transport-1", about="the same, one packet a frame",
        run=partial(run_speed, per_frame=1),
    ),
    Scenario(
        name="transport-kill", about="the same while feed and decoder are killed", run=run_kill,
        seconds_max=60,
    ),
]  # fmt: skip
