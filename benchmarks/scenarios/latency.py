"""Receive to strategy-visible at 18,000 ticks/s, cut into frames in three ways; and its CPU.

    [exchange, paced] -> 3 x [feed: read] -> [decoder] -> [strategy: batch handed out]
                               ^----------- this long -----------^

A regression here makes every strategy see every tick later. Taken in the strategy's reader: from
the return of the read that brought the frame's last byte to the batch that has the tick. Nothing
is paced in our favour: the exchange shares the cores. Five windows; the best of each quantile is
judged, because one foreign time slice within a window makes its p99.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape, Window

RATE = 18_000.0
_US = 1e-3


def watch(bench: Bench, shape: Shape) -> list[Window]:
    """Return the windows of one run of this shape."""
    windows = bench.pick(tiny=1, quick=2, full=5)
    seconds = bench.pick(tiny=0.4, quick=1.5, full=3.0)
    with PipelineRun(shape) as pipeline:
        for number in bench.rounds(windows):
            pipeline.watch(warm_s=0.3 if number else 1.0, seconds=seconds)
        return pipeline.finish()


def _note_quantiles(
    bench: Bench, group: str, found: list[dict[str, int]], p50: Goal | None, p99: Goal | None
) -> None:
    for name, goal in (("p50", p50), ("p99", p99)):
        quantity = Quantity(key=name, group=f"{group}, {name}", unit="us", goal=goal)
        bench.note(quantity, OURS, [one[name] * _US for one in found])


def run(
    bench: Bench, *, per_frame: int, p50: Goal | None = None, p99: Goal | None = None,
    cpu: Goal | None = None,
) -> None:  # fmt: skip
    """Measure one way of cutting."""
    windows = watch(bench, Shape(per_frame=per_frame, rate=RATE, notes=per_frame > 1))
    cut = f"{RATE / per_frame:,.0f} x {per_frame} frames/s"
    group = f"receive to strategy, {cut}"
    if per_frame == 1:
        _note_quantiles(bench, group, [dict(w.latency_ns) for w in windows], p50, p99)
    else:
        first, last = [dict(w.first_ns) for w in windows], [dict(w.last_ns) for w in windows]
        _note_quantiles(bench, f"{group}, first tick", first, None, None)
        _note_quantiles(bench, f"{group}, last tick", last, p50, p99)
    quantity = Quantity(
        key="cpu", group=f"CPU of feeds and decoder, {cut}", unit="% of a core", goal=cpu,
    )  # fmt: skip
    bench.note(quantity, OURS, [100 * window.cores("feed", "decoder") for window in windows])
    published = min(window.publish_ns["p50"] for window in windows) * _US
    bench.remarks.append(f"{group}: receive to publish p50 {published:.1f} us, best window")


SCENARIOS = [
    Scenario(
        name="latency-18000x1",
        about="receive to strategy-visible, 18,000 frames/s of one packet",
        run=partial(run, per_frame=1, p50=Goal(must=15, aim=9), p99=Goal(must=150)),
    ),
    Scenario(
        name="latency-180x100",
        about="the same as 180 frames/s of 100 packets; and CPU of feeds and decoder",
        run=partial(
            run, per_frame=100, p50=Goal(must=60, aim=36), p99=Goal(must=250),
            cpu=Goal(must=12, aim=5),
        ),
    ),
    Scenario(
        name="latency-6x3000",
        about="the same as 6 frames/s of 3,000 packets: first and last tick",
        run=partial(run, per_frame=3000),
    ),
]  # fmt: skip
