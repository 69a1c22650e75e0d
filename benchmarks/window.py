"""Two looks at a running instance from outside, and what happened between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from pipeline.core.clock import NS_PER_S

Array = np.ndarray[Any, Any]

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True, kw_only=True)
class Window:
    """What happened between two moments. CPU in s by process; latencies in ns.

    `latency_ns` is from the read to the batch in the strategy, per frame; `publish_ns` from the
    read to the decoder's publishing, of every eighth unit. `first_ns` and `last_ns` are from the
    read to the batch that had a frame's first and last tick, of runs with notes.
    """

    seconds: float
    ticks: int
    cpu_s: Mapping[str, float]
    latency_ns: Mapping[str, int]
    publish_ns: Mapping[str, int]
    first_ns: Mapping[str, int]
    last_ns: Mapping[str, int]

    @property
    def ticks_per_s(self) -> float:
        """Ticks delivered to the strategy process in a second."""
        return self.ticks / self.seconds

    @property
    def cpu_ns_per_tick(self) -> dict[str, float]:
        """CPU of each process per tick delivered."""
        return {name: cpu * NS_PER_S / max(self.ticks, 1) for name, cpu in self.cpu_s.items()}

    def cores(self, *roles: str) -> float:
        """Return how much of a core the processes whose names begin so have taken together."""
        taken = sum(cpu for name, cpu in self.cpu_s.items() if name.startswith(roles))
        return taken / self.seconds


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is seen at one moment."""

    mono_ns: int
    cpu_s: Mapping[str, float]
    latency_counts: Array
    publish_counts: Array


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What the strategy process has kept: (n, 2) arrays of monotonic time and a value.

    progress: ticks so far · first, last: ns from the read to the batch with that tick of a frame ·
    batches: when the read returned that brought the batch's newest tick.
    """

    progress: Array
    first: Array
    last: Array
    batches: Array


def make_window(before: Look, after: Look, notes: Notes) -> Window:
    """Return what happened between two looks."""
    looks = np.array([before.mono_ns, after.mono_ns], np.float64)
    delivered = np.interp(looks, notes.progress[:, 0], notes.progress[:, 1])
    return Window(
        seconds=(after.mono_ns - before.mono_ns) / NS_PER_S,
        ticks=int(delivered[1] - delivered[0]),
        cpu_s={name: cpu - before.cpu_s.get(name, 0.0) for name, cpu in after.cpu_s.items()},
        latency_ns=_bucket_quantiles(after.latency_counts - before.latency_counts),
        publish_ns=_bucket_quantiles(after.publish_counts - before.publish_counts),
        first_ns=_quantiles(_between(notes.first, before, after)),
        last_ns=_quantiles(_between(notes.last, before, after)),
    )


def _between(rows: Array, before: Look, after: Look) -> Array:
    inside = (rows[:, 0] >= before.mono_ns) & (rows[:, 0] < after.mono_ns)
    found: Array = rows[inside, 1]
    return found


def _quantiles(values: Array) -> dict[str, int]:
    if not len(values):
        return dict.fromkeys(_QUANTILES, 0)
    return {name: int(np.quantile(values, share)) for name, share in _QUANTILES.items()}


def _bucket_quantiles(counts: Array) -> dict[str, int]:
    return {name: _bucket_quantile(counts, share) for name, share in _QUANTILES.items()}


def _bucket_quantile(counts: Array, share: float) -> int:
    """Return the upper end of the histogram's bucket (see ext/histogram.h) with that quantile."""
    total = int(counts.sum())
    if not total:
        return 0
    bucket = int(np.searchsorted(np.cumsum(counts), max(1.0, share * total)))
    exponent = max(0, bucket // 64 - 1)
    return ((bucket - exponent * 64 + 1) << exponent) - 1


def cpu_s(pid: int) -> float:
    """Return the CPU time of all threads of a process, exact where the kernel tells.

    The times that everybody reads are counted in hundredths of a second: too coarse when idle.
    """
    try:
        found = [
            int(path.read_text().split()[0])
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat")
        ]
    except OSError:
        found = []
    if found and any(found):
        return sum(found) / NS_PER_S
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
