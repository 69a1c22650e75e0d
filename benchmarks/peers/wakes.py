"""A process that sleeps on a pipe, and another that wakes it at an even pace: how late it wakes.

    python -m benchmarks.peers.wakes PER_S COUNT

Nothing of ours: this is what the machine and its kernel ask for one wake-up, the floor under every
latency here. Prints quantiles in us and the sleeper's CPU per wake-up as JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time

import numpy as np

from ext.process import die_with_parent


def wake(fd: int, period_ns: int, count: int) -> None:
    """Write the time into the pipe, once a period, waiting busily between."""
    die_with_parent(signal.SIGKILL)
    next_ns = time.monotonic_ns() + period_ns
    for _ in range(count):
        while time.monotonic_ns() < next_ns:
            pass
        next_ns += period_ns
        os.write(fd, time.monotonic_ns().to_bytes(8, "little"))


def main() -> None:
    """Measure one pace."""
    rate, count = int(sys.argv[1]), int(sys.argv[2])
    reading, writing = os.pipe()
    context = multiprocessing.get_context("fork")
    waker = context.Process(target=wake, args=(writing, 1_000_000_000 // rate, count))
    waker.start()
    late_ns = np.zeros(count, np.int64)
    began_cpu_s = time.process_time()
    for number in range(count):
        sent = os.read(reading, 8)
        late_ns[number] = time.monotonic_ns() - int.from_bytes(sent, "little")
    cpu_s = time.process_time() - began_cpu_s
    waker.join()
    counted = late_ns[count // 10 :] / 1e3
    print(json.dumps({
        "p50": float(np.quantile(counted, 0.5)), "p99": float(np.quantile(counted, 0.99)),
        "cpu": cpu_s / count * 1e6,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
