"""What an instance takes when nothing happens but heartbeats.

    [exchange: a byte a second] -> 3 x [feed] -> [decoder] -> [strategy, waiting]

A regression here is power and noise on a machine that should be quiet. CPU of the supervisor, the
feeds and the decoder, by the scheduler's own clock, over a whole window; the exchange is none of
a live instance, and the strategy is its user's: both are told beside it.
"""

from __future__ import annotations

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape


def run(bench: Bench) -> None:
    """Watch a pipeline that has subscribed and then gets nothing."""
    shape = Shape(per_frame=1, rate=0.0, real_time=True)
    seconds = bench.pick(tiny=0.5, quick=3.0, full=5.0)
    with PipelineRun(shape) as pipeline:
        for number in bench.rounds(bench.pick(tiny=1, quick=1, full=3)):
            pipeline.watch(warm_s=0.1 if number else 2.0, seconds=seconds)
        windows = pipeline.finish(counted=False)
    quantity = Quantity(
        key="cpu", group="idle, heartbeats only: supervisor, feeds and decoder", unit="% of a core",
        goal=Goal(must=1, aim=0.3),
    )  # fmt: skip
    own = ("supervisor", "feed", "decoder")
    bench.note(quantity, OURS, [100 * window.cores(*own) for window in windows])
    best = min(windows, key=lambda window: window.cores(*own))
    bench.remarks.append(
        "idle, % of a core: "
        + ", ".join(f"{name} {100 * best.cores(name):.2f}" for name in sorted(best.cpu_s))
    )


SCENARIOS = [Scenario(name="idle", about="CPU of an instance that gets heartbeats only", run=run)]
