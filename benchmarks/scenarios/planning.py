"""Where 100,000 instruments go: the plan of a whole market, under every policy.

    100,000 wants, 36 connections of 12 keys -> place -> plan

A regression here delays the answer to a large subscribe call. Nothing of it is on the data path.
"""

from __future__ import annotations

import time
from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.pools import make_pool, make_wants, settings
from pipeline.planning.placement import place
from pipeline.planning.policies import Policy

INSTRUMENTS = 100_000


def _measure(name: Policy, count: int) -> dict[str, float]:
    wants, pool, policy = (
        make_wants(INSTRUMENTS, name)[:count],
        make_pool(INSTRUMENTS),
        settings(name),
    )
    began_ns = time.process_time_ns()
    plan = place(wants, pool, policy)
    seconds = (time.process_time_ns() - began_ns) / 1e9
    if plan.refused or len(plan.assign) != count:
        raise RuntimeError(f"{name}: {len(plan.assign):,} of {count:,} instruments were placed")
    return {"seconds": seconds}


def run(bench: Bench) -> None:
    """Measure one policy after the other; each is judged by itself."""
    count = bench.pick(tiny=900, quick=INSTRUMENTS, full=INSTRUMENTS)
    for name in Policy:
        case = Case(name=OURS, measure=partial(_measure, name, count))
        group = f"places for {count:,} instruments, {name}"
        quantity = Quantity(key="seconds", group=group, unit="s, CPU", goal=Goal(must=1.0))
        bench.compare([case], [quantity], rounds=bench.pick(tiny=1, quick=2, full=5))


SCENARIOS = [Scenario(name="planning", about="places for 100,000 instruments, by policy", run=run)]
