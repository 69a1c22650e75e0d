"""A whole pipeline under measurement: the real main job, the exchange, and a strategy process.

Processes are started through `pipeline.supervisor.launch` alone. A window is taken between two
looks from outside; the ticks in it are those that the strategy process itself has noted.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import psutil

from benchmarks.strategy import NAME
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import InstanceNotFound, LayoutMismatch, SegmentError
from pipeline.core.instruments import SEGMENT_INDICES, simulated_token
from pipeline.services.status.snapshot import snapshot
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

DEADLINE_S: Final = 60.0
SHARED_MEMORY: Final = Path("/dev/shm")
INSTANCE: Final = "bench"

_HEAD = """
[instance]
name = "{instance}"
shm_directory = "{shm}"
log_level = "error"
[simulator]
instruments = {instruments}
mode = "load"
rate = {rate}
packets_per_frame = {per_frame}
gate = "{gate}"
[decoder]
spin_us = {decoder_spin_us}
[feed]
spin_us = {feed_spin_us}
[[account]]
name = "exchange"
api_key = "demo"
url = "simulator"
"""
_CONNECTION = """
[[connection]]
account = "exchange"
[[subscription]]
file = "tokens-{number}.txt"
mode = "full"
connection = {number}
"""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What runs. `rate` in ticks/s over all connections; None: as fast as the strategy takes it."""

    per_frame: int
    rate: float | None = None
    connections: int = 3
    instruments: int = 3000
    buffer_ticks: int = 8192
    strategy_spin_us: int = 20
    decoder_spin_us: int = 20
    feed_spin_us: int = 0

    def config(self, shm: Path) -> str:
        """Return the config of the main job."""
        text = _HEAD.format(
            instance=INSTANCE, shm=shm, instruments=len(self._listed()),
            rate='"max"' if self.rate is None else float(self.rate), per_frame=self.per_frame,
            gate=NAME if self.rate is None else "", decoder_spin_us=self.decoder_spin_us,
            feed_spin_us=self.feed_spin_us,
        )  # fmt: skip
        for number in range(self.connections):
            text += _CONNECTION.format(number=number)
        return text

    def _listed(self) -> range:
        """Return the exchange's positions that are looked at; every 16th may be an index."""
        return range(self.connections * self.instruments * 16 // 15 + 16)

    def tokens(self, number: int) -> list[int]:
        """Return a connection's instruments: no indices, whose packets are small."""
        listed = (simulated_token(position) for position in self._listed())
        found = [token for token in listed if token & 0xFF != SEGMENT_INDICES]
        return found[number * self.instruments : (number + 1) * self.instruments]


@dataclass(frozen=True, kw_only=True)
class Window:
    """What happened between two moments. CPU in s by process; latencies in ns.

    `latency_ns` is from the read to the batch in the strategy, per frame; `publish_ns` from the
    read to the decoder's publishing, of every eighth unit.
    """

    seconds: float
    ticks: int
    cpu_s: dict[str, float]
    latency_ns: dict[str, int]
    publish_ns: dict[str, int]

    @property
    def ticks_per_s(self) -> float:
        """Ticks delivered to the strategy process in a second."""
        return self.ticks / self.seconds

    @property
    def cpu_ns_per_tick(self) -> dict[str, float]:
        """CPU of each process per tick delivered."""
        return {name: cpu * 1e9 / max(self.ticks, 1) for name, cpu in self.cpu_s.items()}


@dataclass(frozen=True, kw_only=True)
class _Look:
    mono_ns: int
    cpu_s: dict[str, float]
    latency_counts: np.ndarray[Any, Any]
    publish_counts: np.ndarray[Any, Any]


class PipelineRun:
    """A context; `watch` marks a window, `finish` ends the run and returns the windows."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._stack = ExitStack()
        self._marks: list[tuple[_Look, _Look]] = []

    def __enter__(self) -> Self:
        with self._stack as stack:
            base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
            self._shm = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._paths = InstancePaths(INSTANCE, self._shm)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        config = self._folder / "config.toml"
        config.write_text(self.shape.config(self._shm))
        for number in range(self.shape.connections):
            lines = "\n".join(map(str, self.shape.tokens(number)))
            (self._folder / f"tokens-{number}.txt").write_text(lines)
        self._log = stack.enter_context((self._folder / "log").open("wb"))
        self._main = self._launch(stack, ["-m", "pipeline", "run", "--config", str(config)])
        self._strategy = self._launch(stack, [
            "-m", "benchmarks.strategy", INSTANCE, str(self._shm), str(self._folder),
            "--buffer-ticks", str(self.shape.buffer_ticks),
            "--spin-us", str(self.shape.strategy_spin_us),
        ])  # fmt: skip
        self._wait(lambda: self._delivered() > 0, "the first tick")

    def _launch(self, stack: ExitStack, arguments: list[str]) -> Launched:
        process = launch(arguments, stdout=self._log, stderr=subprocess.STDOUT)
        stack.callback(_end, process)
        return process

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline or self._main.poll() or self._strategy.poll():
                said = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"waited in vain for {what}; the processes said:\n{said}")
            time.sleep(0.02)

    def _delivered(self) -> int:
        try:
            status = snapshot(self._paths)
        except (InstanceNotFound, LayoutMismatch, SegmentError):
            return 0
        return sum(reader.delivered for reader in status.readers)

    def watch(self, *, warm_s: float, seconds: float) -> None:
        """Let a window pass, after a while that does not count."""
        time.sleep(warm_s)
        before = self._look()
        time.sleep(seconds)
        self._marks.append((before, self._look()))

    def _look(self) -> _Look:
        status = snapshot(self._paths)
        page = next(self._paths.readers.glob(f"{NAME}.*"))
        record = Segment.attach(page, SegmentKind.READER).record("ReaderC")
        decoder_page = self._paths.segment(SegmentKind.DECODER_STATUS, 0)
        decoder = Segment.attach(decoder_page, SegmentKind.DECODER_STATUS).record("DecoderStatusC")
        pids = {process.name: process.pid for process in status.processes if process.alive}
        pids |= {"supervisor": self._main.pid, "strategy": self._strategy.pid}
        return _Look(
            mono_ns=monotonic_ns(),
            cpu_s={name: _cpu_s(pid) for name, pid in pids.items()},
            latency_counts=record["latency"]["counts"].astype(np.int64),
            publish_counts=decoder["receive_to_publish"]["counts"].astype(np.int64),
        )

    def finish(self) -> list[Window]:
        """End the run in good order; raise if the strategy missed, doubled or was told of anything.

        State changes are told at the start and at the end, and are no loss.
        """
        self._main.terminate()
        if wait_or_kill(self._main, DEADLINE_S) or wait_or_kill(self._strategy, DEADLINE_S):
            raise RuntimeError((self._folder / "log").read_text(errors="replace"))
        found = json.loads((self._folder / "strategy.json").read_text())
        told = [event for event in found["told"] if not event.startswith("StateChange")]
        if found["lost"] or found["faults"] or told:
            raise RuntimeError(
                f"{found['lost']} ticks lost, {found['faults']} holes, told: {told[:5]}"
            )
        moments = np.array(found["progress"], np.float64)
        return [_window(before, after, moments) for before, after in self._marks]


def _window(before: _Look, after: _Look, moments: np.ndarray[Any, Any]) -> Window:
    looks = np.array([before.mono_ns, after.mono_ns], np.float64)
    delivered = np.interp(looks, moments[:, 0], moments[:, 1])
    return Window(
        seconds=(after.mono_ns - before.mono_ns) / 1e9,
        ticks=int(delivered[1] - delivered[0]),
        cpu_s={name: cpu - before.cpu_s.get(name, 0.0) for name, cpu in after.cpu_s.items()},
        latency_ns=_quantiles(after.latency_counts - before.latency_counts),
        publish_ns=_quantiles(after.publish_counts - before.publish_counts),
    )


_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def _quantiles(counts: np.ndarray[Any, Any]) -> dict[str, int]:
    return {name: _quantile(counts, quantile) for name, quantile in _QUANTILES.items()}


def _quantile(counts: np.ndarray[Any, Any], quantile: float) -> int:
    """Return the upper end of the histogram's bucket (see ext/histogram.h) with that quantile."""
    total = int(counts.sum())
    if not total:
        return 0
    bucket = int(np.searchsorted(np.cumsum(counts), max(1.0, quantile * total)))
    exponent = max(0, bucket // 64 - 1)
    return ((bucket - exponent * 64 + 1) << exponent) - 1


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _end(process: Launched) -> None:
    if process.poll() is None:
        process.terminate()
        wait_or_kill(process, DEADLINE_S)
