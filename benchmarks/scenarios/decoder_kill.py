"""The decoder is killed: how long until the strategy has a tick that came after that.

    [exchange] -> [feed] -> [decoder, SIGKILL] -> [successor] -> [strategy: the next tick]

A regression here is a longer blind moment for every strategy when a decoder dies. 18,000 ticks/s in
frames of 10. Counted is the first tick whose frame was *received* after the kill, so that nothing
which the dead one had already published looks like an answer. The run fails if one tick was lost,
doubled or out of order. Each sample is the p50 of ten kills.
"""

from __future__ import annotations

import os
import signal
import statistics
import time

import numpy as np

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape
from pipeline.core.clock import monotonic_ns

DECODER = "decoder 0"
KILLS = 10  # of one sample
BETWEEN_S = 0.15


def _kill(pipeline: PipelineRun) -> int:
    """Kill the decoder and wait for its successor's ticks; return when it was killed."""
    pid, delivered = pipeline.pid(DECODER), pipeline.delivered()
    os.kill(pid, signal.SIGKILL)
    killed_ns = monotonic_ns()
    pipeline.wait_for(
        lambda: pipeline.pid(DECODER) not in (0, pid) and pipeline.delivered() > delivered,
        "the successor's ticks",
    )
    time.sleep(BETWEEN_S)  # a decoder that has not run for a while is not what dies
    return killed_ns


def outages_ms(batches: np.ndarray, killed_ns: list[int]) -> list[float]:
    """Return, for each kill, the time until a batch with a tick received after it."""
    handed_ns, newest_ns = batches[:, 0], batches[:, 1]
    return [float(handed_ns[newest_ns > moment][0] - moment) / 1e6 for moment in killed_ns]


def run(bench: Bench) -> None:
    """Kill one decoder after the other."""
    kills = bench.pick(tiny=2, quick=KILLS, full=3 * KILLS)
    with PipelineRun(Shape(per_frame=10, rate=18_000.0, notes=True)) as pipeline:
        time.sleep(bench.pick(tiny=0.1, quick=0.5, full=1.0))
        killed_ns = [_kill(pipeline) for _ in bench.rounds(kills, least=2)]
        pipeline.finish()
    assert pipeline.notes is not None
    found = outages_ms(pipeline.notes.batches, killed_ns)
    parts = [found[at : at + KILLS] for at in range(0, len(found), KILLS)]
    quantity = Quantity(
        key="p50", group="decoder killed, until the next tick in the strategy, p50", unit="ms",
        goal=Goal(must=20, aim=3),
    )  # fmt: skip
    bench.note(quantity, OURS, [statistics.median(part) for part in parts])
    bench.remarks.append(
        f"{len(found)} kills, nothing lost or doubled: {min(found):.1f} to {max(found):.1f} ms"
    )


SCENARIOS = [
    Scenario(
        name="decoder-kill", about="decoder killed: time to the next tick in the strategy", run=run
    )
]
