"""`run` to the first tick in a strategy that was waiting for the instance.

    python -m pipeline run -> [exchange, feeds, decoder] -> [strategy: its first batch]

A regression here is a later first tick every morning. From just before the interpreter of `run`
is started to the strategy's first batch, 3 connections of 3,000 instruments; the exchange is part
of the instance and starts with it.
"""

from __future__ import annotations

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape


def _start_s() -> float:
    with PipelineRun(Shape(per_frame=100, rate=18_000.0)) as pipeline:
        pipeline.finish()
    assert pipeline.notes is not None
    return float(pipeline.notes.progress[0, 0] - pipeline.started_ns) / 1e9


def run(bench: Bench) -> None:
    """Start some pipelines, one after the other."""
    rounds = bench.rounds(bench.pick(tiny=1, quick=2, full=5))
    quantity = Quantity(
        key="s", group="run, until the first tick in a strategy", unit="s",
        goal=Goal(must=1.5, aim=0.5),
    )  # fmt: skip
    bench.note(quantity, OURS, [_start_s() for _ in rounds])


SCENARIOS = [Scenario(name="start", about="`run` to the first tick in a strategy", run=run)]
