"""What the demo's table and summary show: an instance's status and its processes. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from pipeline.cli.demo.scenario import FAST
from pipeline.core.clock import NS_PER_S
from pipeline.services.status import InstanceStatus, snapshot
from pipeline.services.status.latencies import Counts, between
from pipeline.services.status.model import Latency, Reader
from pipeline.services.status.pages import text
from pipeline.services.status.readers import read_pages
from pipeline.shm.names import InstancePaths


@dataclass(frozen=True, kw_only=True)
class ProcessReading:
    """One process: CPU seconds since its start, resident bytes."""

    name: str
    pid: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Everything, at one moment; `latencies` are counts of receive to hand-out, by reader."""

    status: InstanceStatus
    latencies: Mapping[str, Counts] = field(default_factory=dict)
    processes: list[ProcessReading] = field(default_factory=list)

    @property
    def mono_s(self) -> float:
        """When this was read."""
        return self.status.taken_mono_ns / NS_PER_S

    @property
    def readers(self) -> dict[str, Reader]:
        """The strategies by name."""
        return {reader.name: reader for reader in self.status.readers}

    @property
    def ticks_out(self) -> int:
        """Ticks published by the decoder."""
        return sum(c.decode_counters["ticks_out"] for c in self.status.connections)

    @property
    def delivered(self) -> int:
        """Ticks handed to the fast strategy."""
        return self.readers[FAST].delivered if FAST in self.readers else 0

    def latency(self, name: str, *, since: Reading | None) -> Latency:
        """Return a strategy's percentiles since an earlier reading; 0 when it has no page."""
        counts = self.latencies.get(name)
        if counts is None:
            return Latency(samples=0, p50_ns=0, p99_ns=0, p999_ns=0, max_ns=0)
        return between(since.latencies.get(name) if since else None, counts)


class Observer:
    """Reads an instance from outside, as `stat` does, and what its processes cost."""

    def __init__(self, paths: InstancePaths, own: Mapping[str, int]) -> None:
        self._paths = paths
        self._own = own  # name -> pid of the processes that the demo itself has started

    def read(self) -> Reading:
        """Return the present state."""
        pages = read_pages(self._paths)
        status = snapshot(self._paths)
        return Reading(
            status=status,
            latencies={text(p.record["name"]): p.record["latency"]["counts"] for p in pages},
            processes=self._processes(status),
        )

    def _processes(self, status: InstanceStatus) -> list[ProcessReading]:
        named = {**self._own, **{p.name: p.pid for p in status.processes if p.pid}}
        return [reading for name, pid in named.items() if (reading := _process(name, pid))]


def _process(name: str, pid: int) -> ProcessReading | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return ProcessReading(
                name=name,
                pid=pid,
                cpu_s=times.user + times.system,
                rss_bytes=process.memory_info().rss,
            )
    except psutil.NoSuchProcess:
        return None


def reader_dict(reader: Reader, latency: Latency) -> dict[str, Any]:
    """Return a strategy as plain values for JSON."""
    return {
        "name": reader.name,
        "delivered": reader.delivered,
        "lost": reader.lost,
        "laps": reader.laps,
        "lag": reader.lag,
        "latency_samples": latency.samples,
        "latency_p50_ns": latency.p50_ns,
        "latency_p99_ns": latency.p99_ns,
        "latency_p999_ns": latency.p999_ns,
    }
