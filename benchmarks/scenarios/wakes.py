"""What this machine asks for one wake-up: the floor under every latency, and nothing of ours.

    [process: busy, writes to a pipe] -> [process: asleep, reads]

A regression here is the machine's: a deeper sleep of its cores, a hypervisor that takes long to
bring one back, a neighbour. A tick in a quiet market passes three such wake-ups, of the feed, the
decoder and the strategy; no limit on a latency can be met below their sum. Measured with the cores
kept awake and left to halt: what lies between the two is what `cpu_dma_latency_us` saves. The CPU
is the sleeper's own; what polling cores take is in nobody's account.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.awake import Way, in_all, ways
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario

#: Wake-ups a second, as in the paced and the latency scenarios.
RATES = (10_000, 180)


def _measure(bench: Bench, rate: int) -> dict[str, float]:
    count = bench.pick(tiny=50, quick=max(300, rate // 4), full=max(400, rate // 2))
    line = ["-m", "benchmarks.peers.wakes", str(rate), str(count)]
    return bench.children.result(line, timeout_s=20)


def _quantities(way: Way) -> list[Quantity]:
    group = f"one wake-up of a sleeping process{way.label}"
    return [
        Quantity(key=way.key("p50"), group=f"{group}, p50", unit="us"),
        Quantity(key=way.key("p99"), group=f"{group}, p99", unit="us"),
        Quantity(key=way.key("cpu"), group=f"{group}: its CPU", unit="us, CPU"),
    ]


def run(bench: Bench) -> None:
    """Measure each pace in turn, each both ways."""
    both = ways(bench)
    cases = [
        Case(
            name=f"pipe, {rate:,} a second",
            measure=partial(in_all, both, partial(_measure, bench, rate)),
        )
        for rate in RATES
    ]
    quantities = [quantity for way in both for quantity in _quantities(way)]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=1, full=3))


SCENARIOS = [Scenario(name="wakes", about="one wake-up on this machine: the floor", run=run)]
