"""What the demo's table and summary show, read from outside, from the instance's pages. Floor 6."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import psutil

from pipeline.cli.demo.scenario import FAST, SLOW
from pipeline.core import layout
from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment


@dataclass(frozen=True, kw_only=True)
class ConnectionReading:
    """One connection at one moment; counters since the start."""

    number: int
    state: State
    reason: Reason
    since_s: float
    messages_in: int
    bytes_in: int
    reconnects: int
    stalls: int
    wire: int
    ring_lag_frames: int
    tick_tail: int
    counters: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class ReaderReading:
    """One strategy at one moment; latencies in ns, receive to hand-out, from its own page."""

    name: str
    delivered: int
    lost: int
    laps: int
    lag: int
    latency_p50_ns: int
    latency_p99_ns: int
    latency_p999_ns: int


@dataclass(frozen=True, kw_only=True)
class ProcessReading:
    """One process: CPU seconds since its start, resident bytes."""

    name: str
    pid: int
    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Everything, at one moment."""

    mono_s: float
    connections: list[ConnectionReading] = field(default_factory=list)
    readers: dict[str, ReaderReading] = field(default_factory=dict)
    processes: list[ProcessReading] = field(default_factory=list)

    @property
    def ticks_out(self) -> int:
        """Ticks published by the decoders."""
        return sum(c.counters["ticks_out"] for c in self.connections)

    @property
    def delivered(self) -> int:
        """Ticks handed to the fast strategy."""
        return self.readers[FAST].delivered if FAST in self.readers else 0


class Observer:
    """Holds an instance's pages open for reading."""

    def __init__(self, paths: InstancePaths, connections: int, own: dict[str, int]) -> None:
        self._paths = paths
        self._own = own  # name -> pid of the processes that the demo itself has started
        self._feeds = [self._page(SegmentKind.FEED_STATUS, n) for n in range(connections)]
        self._ticks = [self._attach(SegmentKind.TICKS, n) for n in range(connections)]
        self._frames = [self._attach(SegmentKind.FRAMES, n) for n in range(connections)]
        self._wires = [self._attach(SegmentKind.WIRE, n) for n in range(connections)]
        self._supervisor = self._page(SegmentKind.SUPERVISOR_STATUS)
        self._readers: dict[str, StatusPage] = {}

    def _attach(self, kind: SegmentKind, number: int = 0) -> Segment:
        return Segment.attach(self._paths.segment(kind, number), kind)

    def _page(self, kind: SegmentKind, number: int = 0) -> StatusPage:
        return StatusPage(self._attach(kind, number))

    def read(self) -> Reading:
        """Return the present state."""
        return Reading(
            mono_s=time.monotonic(),
            connections=[self._connection(n) for n in range(len(self._feeds))],
            readers={name: reader for name in (FAST, SLOW) if (reader := self._reader(name))},
            processes=self._processes(),
        )

    def _connection(self, number: int) -> ConnectionReading:
        feed, ticks = self._feeds[number], self._ticks[number]
        record, head = feed.record, feed.head
        cell = ticks.record("CommitCellC", layout.dtypes["RingControlC"].itemsize)
        commit = cell["copy"][int(cell["head"]["version"]) & 1].copy()
        counters = commit["counters"]
        frame_tail = int(self._frames[number].record("RingControlC")["tail"])
        wire = self._wires[number].record("CellHeadC")
        rows = int(record["wire_count"]) if int(wire["version"]) else 0
        return ConnectionReading(
            number=number,
            state=State(int(head["state"])),
            reason=Reason(int(head["reason"])),
            since_s=time.monotonic() - int(head["state_since_mono_ns"]) / 1e9,
            messages_in=int(record["messages_in"]),
            bytes_in=int(record["bytes_in"]),
            reconnects=int(record["reconnects"]),
            stalls=int(record["stalls"]),
            wire=rows,
            ring_lag_frames=max(0, frame_tail - int(commit["source_sequence"])),
            tick_tail=int(ticks.record("RingControlC")["tail"]),
            counters={name: int(counters[name]) for name in counters.dtype.names or ()},
        )

    def _reader(self, name: str) -> ReaderReading | None:
        if name not in self._readers:
            found = sorted(self._paths.readers.glob(f"{name}.*"))
            if not found:
                return None
            self._readers[name] = StatusPage(Segment.attach(found[0], SegmentKind.READER))
        page = self._readers[name]
        cursors = page.record["cursors"][: int(page.record["cursor_count"])]
        tails = sum(int(t.record("RingControlC")["tail"]) for t in self._ticks)
        latency = page.histogram("latency")
        return ReaderReading(
            name=name,
            delivered=int(cursors["delivered"].sum()),
            lost=int(cursors["lost"].sum()),
            laps=int(cursors["laps"].sum()),
            lag=max(0, tails - int(cursors["cursor"].sum())) if len(cursors) else tails,
            latency_p50_ns=latency.quantile(0.5),
            latency_p99_ns=latency.quantile(0.99),
            latency_p999_ns=latency.quantile(0.999),
        )

    def _processes(self) -> list[ProcessReading]:
        named = {name: pid for name, pid in self._own.items()}
        count = int(self._supervisor.record["process_count"])
        for row in self._supervisor.record["processes"][:count]:
            if int(row["pid"]):
                named[bytes(row["name"].tobytes()).rstrip(b"\0").decode()] = int(row["pid"])
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


def as_dict(reading: Any) -> dict[str, Any]:
    """Return a reading as plain values for JSON."""
    from dataclasses import asdict

    return asdict(reading)
