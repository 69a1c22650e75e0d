"""What plans cost: placing, redistributing, rebalancing.

    wants, view of the pool -> place -> plan        lost connection -> redistribute -> plan
                                                    uneven pool -> rebalance -> moves

A regression here delays the answer to a subscribe call, and the first tick elsewhere after a
connection is lost. Nothing of it is on the data path.

The pools are those of `pools.py`. `bench planning` judges placing by its limit.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.figures import CPU_TIME, Meter
from benchmarks.pools import KEYS, make_pool, make_wants, settings
from pipeline.planning.placement import place
from pipeline.planning.policies import Policy
from pipeline.planning.rebalance import rebalance
from pipeline.planning.redistribution import redistribute

pytestmark = CPU_TIME
BALANCED = [name for name in Policy if name not in (Policy.FIRST_FIT, Policy.MANUAL)]


@pytest.mark.parametrize("count", KEYS)
@pytest.mark.parametrize("name", Policy)
def test_place(meter: Meter, tiny: bool, name: Policy, count: int) -> None:
    wants, pool, policy = make_wants(count, name), make_pool(count), settings(name)
    wants = wants[:900] if tiny else wants
    meter.rounds = 2 if tiny else 5
    meter.measure(
        lambda: place(wants, pool, policy), units=len(wants), case=str(name),
        group=f"place {count} instruments", unit="ns/instrument",
    )  # fmt: skip
    assert place(wants, pool, policy).refused == ()


@pytest.mark.parametrize("count", KEYS)
@pytest.mark.parametrize("name", BALANCED)
def test_rebalance(meter: Meter, tiny: bool, name: Policy, count: int) -> None:
    if tiny and count > 9000:
        pytest.skip("the smaller pool shows that it runs")
    pool, policy = make_pool(count, shift=10), settings(name)
    views = tuple(replace(view, capacity=9000) for view in pool.connections)
    keys = tuple(replace(key, instruments_per_connection=9000) for key in pool.keys)
    pool = replace(pool, connections=views, keys=keys)
    meter.rounds = 2 if tiny else 3
    meter.measure(
        lambda: rebalance(pool, policy), units=count, case=str(name),
        group=f"rebalance {count} instruments, a tenth misplaced", unit="ns/instrument",
    )  # fmt: skip


def test_redistribute(meter: Meter, tiny: bool) -> None:
    """3,000 instruments of a lost connection, among 100,000."""
    pool, policy = make_pool(100_000, shift=1), settings(Policy.LEAST_LOADED)
    lost = sum(number == 4 for number in pool.placement.values())
    meter.rounds = 2 if tiny else 10
    meter.measure(
        lambda: redistribute({4}, pool, policy), units=1, case=f"{lost} of 100,000 instruments",
        group="redistribute a lost connection", unit="ns/plan",
    )  # fmt: skip
