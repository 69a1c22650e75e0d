"""Messages of 200 bytes from process to process: the frame ring and four queues.

    [writing process] -> frame ring | put_many | put | send_bytes | PUSH -> [reading process]

A regression here delays every frame on its way from the socket to the decoder. The ring's reader
copies and checks each message, as a decoder that keeps frames would; its writer is held within
half a ring of the reader, so that nothing is lost. Wall time for messages/s, which needs two free
cores to mean anything: look at the best round. The CPU of both processes stands beside it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal

SIZE = 200
#: Case, kind, package, messages of a full round.
CONTENDERS = (
    (OURS, "ring", None, 6_000_000),
    ("faster-fifo put_many", "faster-fifo", "faster_fifo", 300_000),
    ("multiprocessing.Queue", "queue", None, 40_000),
    ("multiprocessing.Pipe send_bytes", "pipe", None, 150_000),
    ("pyzmq PUSH/PULL ipc", "zmq", "zmq", 200_000),
)


def _measure(bench: Bench, kind: str, count: int) -> dict[str, float]:
    found = bench.children.result(
        ["-m", "benchmarks.peers.message_queue", kind, str(SIZE), str(count)], timeout_s=40
    )
    cpu_s = found["reader_cpu_s"] + found["writer_cpu_s"]
    return {
        "rate": found["messages"] / found["seconds"] / 1e6,
        "cpu": cpu_s / found["messages"] * 1e9,
    }


def run(bench: Bench) -> None:
    """Measure all contenders in turn."""
    divisor = bench.pick(tiny=100, quick=4, full=1)
    cases = [
        Case(name=name, measure=partial(_measure, bench, kind, count // divisor), package=package)
        for name, kind, package, count in CONTENDERS
    ]
    goal = Goal(must=10, aim=30, ahead={"faster-fifo put_many": 15})
    group = f"process to process, {SIZE} B"
    quantities = [
        Quantity(key="rate", group=group, unit="M messages/s", higher_is_better=True, goal=goal),
        Quantity(key="cpu", group=f"{group}: CPU of both", unit="ns/message, CPU"),
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=2, full=5))


SCENARIOS = [
    Scenario(
        name="ring-200", about="200 B from process to process: the frame ring and four queues",
        run=run,
    )
]  # fmt: skip
