"""Receive to strategy-visible at 18,000 ticks/s, cut into frames in three ways; and its CPU.

    [exchange, paced] -> 3 x [feed: read] -> [decoder] -> [strategy: batch handed out]
                               ^----------- this long -----------^

A regression here makes every strategy see every tick later. Taken in the strategy's reader: from
the return of the read that brought the frame's last byte to the batch that has the tick. Nothing
is paced in our favour: the exchange shares the cores. Five windows; the best of each quantile is
judged, because one foreign time slice within a window makes its p99.

A window with the cores kept awake and one with cores left to halt take turns, of one pipeline, once
each ring has gone round. The request is the harness's: the same as the supervisor's own with
`[instance] cpu_dma_latency_us = 0`, but it can be let go of between two windows, and a pipeline
started anew for each would be measured while it touches its memory for the first time. Judged is
the first, where the machine lets us; the other stands beside. CPU is that of feeds and decoder;
what idle cores take to poll is in nobody's account.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.harness.awake import Way, ways
from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape, Window

RATE = 18_000.0
#: A frame ring holds 4 s of what comes, a tick stream less.
_ROUND_S = 5.0
_US = 1e-3


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What is asked of one way of cutting."""

    p50: Goal | None = None
    p99: Goal | None = None
    cpu: Goal | None = None


NONE = Goals()


def watch(bench: Bench, shape: Shape, both: Sequence[Way]) -> list[list[Window]]:
    """Return the windows of one run, those of each way."""
    with PipelineRun(shape) as pipeline:
        time.sleep(bench.pick(tiny=0.3, quick=_ROUND_S, full=_ROUND_S))
        for _ in bench.rounds(bench.pick(tiny=1, quick=2, full=5)):
            for way in both:
                with way.held():
                    seconds = bench.pick(tiny=0.4, quick=1.5, full=3.0)
                    pipeline.watch(warm_s=0.3, seconds=seconds)
        windows = pipeline.finish()
    return [windows[number :: len(both)] for number in range(len(both))]


def _note_quantiles(
    bench: Bench, group: str, found: list[dict[str, int]], p50: Goal | None, p99: Goal | None
) -> None:
    for name, goal in (("p50", p50), ("p99", p99)):
        quantity = Quantity(key=name, group=f"{group}, {name}", unit="us", goal=goal)
        bench.note(quantity, OURS, [one[name] * _US for one in found])


def _note(bench: Bench, cut: str, windows: list[Window], goals: Goals, *, noted: bool) -> None:
    """Note what the windows show; `noted`: the strategy kept each frame's first and last tick."""
    group = f"receive to strategy, {cut}"
    if noted:
        first, last = [dict(w.first_ns) for w in windows], [dict(w.last_ns) for w in windows]
        _note_quantiles(bench, f"{group}, first tick", first, None, None)
        _note_quantiles(bench, f"{group}, last tick", last, goals.p50, goals.p99)
    else:
        _note_quantiles(bench, group, [dict(w.latency_ns) for w in windows], goals.p50, goals.p99)
    quantity = Quantity(
        key="cpu", group=f"CPU of feeds and decoder, {cut}", unit="% of a core", goal=goals.cpu,
    )  # fmt: skip
    bench.note(quantity, OURS, [100 * window.cores("feed", "decoder") for window in windows])
    published = min(window.publish_ns["p50"] for window in windows) * _US
    bench.remarks.append(f"{group}: receive to publish p50 {published:.1f} us, best window")


def run(bench: Bench, *, per_frame: int, goals: Goals = NONE) -> None:
    """Measure one way of cutting, with the cores kept awake and left to halt."""
    both = ways(bench)
    noted = per_frame > 1
    found = watch(bench, Shape(per_frame=per_frame, rate=RATE, notes=noted), both)
    cut = f"{RATE / per_frame:,.0f} x {per_frame} frames/s"
    for way, windows in zip(both, found, strict=True):
        asked = Goals(
            p50=goals.p50 if way is both[0] else None,
            p99=goals.p99 if way is both[0] else None,
            cpu=goals.cpu if way is both[-1] else None,  # cores kept awake hide some of it
        )
        _note(bench, f"{cut}{way.label}", windows, asked, noted=noted)


SCENARIOS = [
    Scenario(
        name="latency-18000x1",
        about="receive to strategy-visible, 18,000 frames/s of one packet",
        run=partial(
            run, per_frame=1, goals=Goals(p50=Goal(must=15, aim=9), p99=Goal(must=150)),
        ),
        seconds_max=60.0,
    ),
    Scenario(
        name="latency-180x100",
        about="the same as 180 frames/s of 100 packets; and CPU of feeds and decoder",
        run=partial(
            run, per_frame=100,
            goals=Goals(
                p50=Goal(must=60, aim=36), p99=Goal(must=250), cpu=Goal(must=12, aim=5),
            ),
        ),
        seconds_max=60.0,
    ),
    Scenario(
        name="latency-6x3000",
        about="the same as 6 frames/s of 3,000 packets: first and last tick",
        run=partial(run, per_frame=3000),
        seconds_max=60.0,
    ),
]  # fmt: skip
