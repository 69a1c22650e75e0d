"""`run` to the first tick in a strategy that was waiting for the instance.

    python -m pipeline run -> [exchange, feeds, decoder] -> [strategy: its first batch]

A regression here is a later first tick every morning. From just before the interpreter of `run`
is started to the strategy's first batch, 3 connections of 3,000 instruments; the exchange is part
of the instance and starts with it.

`demo-start` is what a newcomer waits for at the second `./demo`: from the command, whose script
finds environment and build as they were left, to the first tick.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Final

from benchmarks.harness.bench import Bench, Quantity, Scenario, Size
from benchmarks.harness.children import ChildFailed
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape
from pipeline.supervisor.launch import wait_or_kill

#: The first one may install and compile.
_DEMO_S_MAX: Final = 900.0
_END_S_MAX: Final = 30.0
_DEMO: Final = Path(__file__).parents[2] / "demo"


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


def run_demo(bench: Bench) -> None:
    """Start some demos, after one that may have to install and compile.

    Each tells the age of its process at the first tick: since the command, whatever it became.
    """
    line = ["-m", "benchmarks.become", str(_DEMO)]
    line += ["--seconds", "10", "--rate", "6000", "--json"]

    def start_s() -> float:
        process = bench.children.start(line, piped=True)
        try:
            output, _ = process.communicate(timeout=_DEMO_S_MAX)
        finally:
            process.send_signal(signal.SIGINT)  # interrupted, it takes its own files along
            wait_or_kill(process, _END_S_MAX)
        bench.children.stop(process)
        if process.returncode:
            raise ChildFailed(f"./demo ended with code {process.returncode}")
        return float(json.loads(output)["start_s"])

    if bench.size is not Size.TINY:
        start_s()
    rounds = bench.rounds(bench.pick(tiny=1, quick=1, full=3))
    quantity = Quantity(
        key="s", group="./demo, until the first tick", unit="s", goal=Goal(must=3.0, floor=3.0)
    )
    bench.note(quantity, OURS, [start_s() for _ in rounds])


SCENARIOS = [
    Scenario(name="start", about="`run` to the first tick in a strategy", run=run),
    Scenario(
        name="demo-start", about="a second `./demo` to its first tick", run=run_demo,
        seconds_max=120.0,
    ),
]  # fmt: skip
