"""What this machine asks for one wake-up: the floor under every latency, and nothing of ours.

    [process: busy, writes to a pipe] -> [process: asleep, reads]

A regression here is the machine's: a deeper sleep of its cores, a hypervisor that takes long to
bring one back, a neighbour. A tick in a quiet market passes three such wake-ups, of the feed, the
decoder and the strategy; no limit on a latency can be met below their sum.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario

#: Wake-ups a second, as in the paced and the latency scenarios.
RATES = (10_000, 180)


def _measure(bench: Bench, rate: int) -> dict[str, float]:
    count = bench.pick(tiny=50, quick=max(300, rate // 4), full=max(400, rate // 2))
    line = ["-m", "benchmarks.peers.wakes", str(rate), str(count)]
    return bench.children.result(line, timeout_s=20)


def run(bench: Bench) -> None:
    """Measure each pace in turn."""
    cases = [
        Case(name=f"pipe, {rate:,} a second", measure=partial(_measure, bench, rate))
        for rate in RATES
    ]
    group = "one wake-up of a sleeping process"
    quantities = [
        Quantity(key="p50", group=f"{group}, p50", unit="us"),
        Quantity(key="p99", group=f"{group}, p99", unit="us"),
        Quantity(key="cpu", group=f"{group}: its CPU", unit="us, CPU"),
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=1, full=3))


SCENARIOS = [Scenario(name="wakes", about="one wake-up on this machine: the floor", run=run)]
