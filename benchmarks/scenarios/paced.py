"""10,000 frames/s of 2 kB at an even pace: how late each is received, and its CPU.

    [server: one send each 100 us] -> loopback -> [client: woken, reads one frame]

A regression here makes every tick of a quiet market late. Nothing is batched, so each frame costs
a wake-up. Late means from just before the server's send to the return of the read (ours: that is a
tick's receive time, and copying the frame into the ring comes after it, well below 1 us) or to the
entry of the user's code (the peers, who hand it over there). The best round is judged: one foreign
time slice in a round makes its p99. The bare `recv` loops show what the machine alone asks for.

Where the machine lets us, all are measured with the cores kept awake, and our latency is judged so:
waking a halted one is most of what there would be to see, and the machine's affair. Ours and the
loop in C are then measured with cores left to halt as well, and there our CPU is judged: what idle
cores take to poll is in nobody's account. Else all is measured and judged with cores left to halt.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.awake import Way, in_all, ways
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal

SIZE = 2048
RATE = 10_000
#: Also measured with cores left to halt.
BOTH_WAYS = ("pipeline", "bare-c")
#: Case, kind, package.
CONTENDERS = (
    (OURS, "pipeline", None),
    ("picows", "picows", "picows"),
    ("websocket-client", "websocket-client", "websocket"),
    ("websockets", "websockets", "websockets"),
    ("recv in Python, no WebSocket", "bare", None),
    ("recv in C, no WebSocket", "bare-c", None),
)


def _measure(bench: Bench, kind: str, count: int) -> dict[str, float]:
    server = bench.children.start(
        ["-m", "benchmarks.peers.paced_server", str(SIZE), str(RATE), str(count)], piped=True
    )
    url = f"ws://127.0.0.1:{bench.children.first_line(server)}"
    line = ["-m", "benchmarks.peers.paced_reader", kind, url, str(SIZE), str(count)]
    return bench.children.result(line, timeout_s=30)


def _quantities(way: Way, both: list[Way]) -> list[Quantity]:
    group = f"paced, {RATE:,} frames/s of {SIZE:,} B{way.label}"
    p50 = Goal(must=12, aim=10.5) if way is both[0] else None
    cpu = Goal(must=8, aim=5.5) if way is both[-1] else None  # cores kept awake hide some of it
    return [
        Quantity(key=way.key("p50"), group=f"{group}: p50", unit="us", goal=p50),
        Quantity(key=way.key("p99"), group=f"{group}: p99", unit="us"),
        Quantity(key=way.key("cpu"), group=f"{group}: CPU", unit="us/frame, CPU", goal=cpu),
    ]


def run(bench: Bench) -> None:
    """Measure all clients in turn."""
    count = bench.pick(tiny=500, quick=5000, full=10_000)
    both = ways(bench)
    cases = []
    for name, kind, package in CONTENDERS:
        chosen = both if kind in BOTH_WAYS else both[:1]
        measure = partial(in_all, chosen, partial(_measure, bench, kind, count))
        cases.append(Case(name=name, measure=measure, package=package))
    quantities = [quantity for way in both for quantity in _quantities(way, both)]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=2, full=4))


SCENARIOS = [
    Scenario(name="paced", about="10,000 frames/s of 2 kB: receive latency and CPU", run=run)
]
