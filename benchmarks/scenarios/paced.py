"""10,000 frames/s of 2 kB at an even pace: how late each is received, and its CPU.

    [server: one send each 100 us] -> loopback -> [client: woken, reads one frame]

A regression here makes every tick of a quiet market late. Nothing is batched, so each frame costs
a wake-up. Late means from just before the server's send to the return of the read (ours: that is a
tick's receive time, and copying the frame into the ring comes after it, well below 1 us) or to the
entry of the user's code (the peers, who hand it over there). The best round is judged: one foreign
time slice in a round makes its p99. The bare `recv` loops show what the machine alone asks for.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal

SIZE = 2048
RATE = 10_000
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


def run(bench: Bench) -> None:
    """Measure all clients in turn."""
    count = bench.pick(tiny=500, quick=5000, full=10_000)
    cases = [
        Case(name=name, measure=partial(_measure, bench, kind, count), package=package)
        for name, kind, package in CONTENDERS
    ]
    group = f"paced, {RATE:,} frames/s of {SIZE:,} B"
    quantities = [
        Quantity(key="p50", group=f"{group}: p50", unit="us", goal=Goal(must=12, aim=10.5)),
        Quantity(key="p99", group=f"{group}: p99", unit="us"),
        Quantity(
            key="cpu", group=f"{group}: CPU", unit="us/frame, CPU", goal=Goal(must=8, aim=5.5)
        ),
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=2, full=4))


SCENARIOS = [
    Scenario(name="paced", about="10,000 frames/s of 2 kB: receive latency and CPU", run=run)
]
