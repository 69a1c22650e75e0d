"""A whole pipeline under measurement: the real main job, the exchange, and a strategy process.

Processes are started through `pipeline.supervisor.launch` alone and die with this one. A window
is taken between two looks from outside; the ticks in it are those that the strategy has noted.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, Self

import numpy as np

from benchmarks.exchange import address, exchange_line, make_certificate
from benchmarks.shape import INSTANCE, Shape, token_file
from benchmarks.strategy import NAME
from benchmarks.window import Look, Notes, Window, cpu_s, make_window
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import InstanceNotFound, LayoutMismatch, SegmentError
from pipeline.services.status.model import InstanceStatus
from pipeline.services.status.snapshot import snapshot
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

__all__ = ["PipelineRun", "Shape", "Window"]

DEADLINE_S: Final = 60.0
SHARED_MEMORY: Final = Path("/dev/shm")
_LOOK_AGAIN_S: Final = 0.02


class PipelineRun:
    """A context; `watch` marks a window, `finish` ends the run and returns the windows."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.notes: Notes | None = None
        self._stack = ExitStack()
        self._marks: list[tuple[Look, Look]] = []
        self._halted: list[int] = []
        self._exchange: Launched | None = None
        self._strategy: Launched | None = None
        self._main: Launched | None = None

    def __enter__(self) -> Self:
        with self._stack as stack:
            base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
            self._shm = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.paths = InstancePaths(INSTANCE, self._shm)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        config = self._folder / "config.toml"
        self._log = stack.enter_context((self._folder / "log").open("wb"))
        config.write_text(self._config(stack))
        for number in range(self.shape.connections):
            lines = "\n".join(map(str, self.shape.tokens(number)))
            (self._folder / f"tokens-{number}.txt").write_text(lines)
        # First the strategy, which then waits: its start is not part of the pipeline's.
        self._strategy = self._launch(stack, [
            "-m", "benchmarks.strategy", INSTANCE, str(self._shm), str(self._folder),
            "--instruments", str(self.shape.connections * self.shape.instruments),
            "--buffer-ticks", str(self.shape.buffer_ticks),
            "--spin-us", str(self.shape.strategy_spin_us),
            "--nap-us", str(self.shape.strategy_nap_us),
            *(["--notes", str(self.shape.per_frame)] if self.shape.notes else []),
        ])  # fmt: skip
        self.wait_for((self._folder / "waiting").exists, "the strategy's process")
        self.started_ns = monotonic_ns()
        line = ["-m", "pipeline", "run", "--config", str(config)]
        # A halted process heeds no other signal.
        with_us = signal.SIGKILL if self.shape.halting else signal.SIGTERM
        self._main = self._launch(stack, line, with_us=with_us)
        stack.callback(self.go_on)
        self.wait_for(lambda: self.delivered() > 0, "the first tick")

    def _config(self, stack: ExitStack) -> str:
        shape = self.shape
        for key in shape.keys:  # made up here, and its own token
            self.write_token(key, key)
        if not (shape.tls or shape.own_exchange):
            return shape.config(self._shm)
        ca_file, chain = make_certificate(self._folder) if shape.tls else (None, None)
        said = self._folder / "exchange"
        with said.open("wb") as output:
            line = exchange_line(shape, chain=chain, gated_in=self.paths)
            self._exchange = self._launch(stack, line, stdout=output)
        self.wait_for(lambda: "\n" in said.read_text(), "the exchange")
        url = address(int(said.read_text()), tls=shape.tls)
        return shape.config(self._shm, url=url, ca_file=ca_file)

    def write_token(self, key: str, token: str) -> None:
        """Have a key's file say another token, at once."""
        path = self._folder / token_file(key)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(token)
        new.replace(path)

    def _launch(
        self, stack: ExitStack, arguments: list[str], *,
        with_us: signal.Signals = signal.SIGKILL, stdout: IO[bytes] | None = None,
    ) -> Launched:  # fmt: skip
        process = launch(
            arguments, die_with_parent=with_us, stdout=stdout or self._log, stderr=self._log
        )
        stack.callback(_end, process)
        return process

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Return once the condition holds; raise RuntimeError with what the processes said."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            started = (self._exchange, self._strategy, self._main)
            ended = [one for one in started if one and one.poll() is not None]
            if time.monotonic() > deadline_s or ended:
                said = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"waited in vain for {what}; the processes said:\n{said}")
            time.sleep(_LOOK_AGAIN_S)

    def status(self) -> InstanceStatus | None:
        """Return what is known of the instance, None before it is there."""
        try:
            return snapshot(self.paths)
        except (InstanceNotFound, LayoutMismatch, SegmentError):
            return None

    def delivered(self) -> int:
        """Return how many ticks the strategy was handed so far."""
        status = self.status()
        return sum(reader.delivered for reader in status.readers) if status else 0

    def confirmed(self) -> int:
        """Return of how many instruments a packet came since their connections are open."""
        status = self.status()
        return sum(one.instruments.confirmed for one in status.connections) if status else 0

    def states(self) -> list[str]:
        """Return the name of each connection's state."""
        status = self.status()
        return [one.state for one in status.connections] if status else []

    def pid(self, name: str) -> int:
        """Return the pid of a living process of the instance, 0 when it is dead."""
        status = self.status()
        alive = [one for one in status.processes if one.alive] if status else []
        return next((one.pid for one in alive if one.name == name), 0)

    def assigned(self) -> dict[int, list[int]]:
        """Return which instruments each connection is to have, in the order of its table."""
        status = self.status()
        numbers = [one.number for one in status.connections] if status else []
        found = {}
        for number in numbers:
            path = self.paths.segment(SegmentKind.ASSIGNMENT, number)
            _, rows = AssignmentTable(Segment.attach(path, SegmentKind.ASSIGNMENT)).read()
            found[number] = [int(token) for token in rows["instrument_token"]]
        return found

    def halt(self) -> None:
        """Stop every process where it is, once all that was sent has arrived.

        The exchange goes first, and the supervisor before those that it would miss.
        """
        assert self.shape.halting
        pids = self.pids()
        exchange, supervisor = pids.pop("simulator"), pids.pop("supervisor")
        self._halted = [*pids.values(), supervisor, exchange]
        os.kill(exchange, signal.SIGSTOP)
        time.sleep(_LOOK_AGAIN_S)
        for pid in (supervisor, *pids.values()):
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let what was halted go on."""
        for pid in self._halted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._halted = []

    def watch(self, *, warm_s: float, seconds: float) -> None:
        """Let a window pass, after a while that does not count."""
        time.sleep(warm_s)
        before = self._look()
        time.sleep(seconds)
        self._marks.append((before, self._look()))

    def _look(self) -> Look:
        page = next(self.paths.readers.glob(f"{NAME}.*"))
        record = Segment.attach(page, SegmentKind.READER).record("ReaderC")
        decoder_page = self.paths.segment(SegmentKind.DECODER_STATUS, 0)
        decoder = Segment.attach(decoder_page, SegmentKind.DECODER_STATUS).record("DecoderStatusC")
        return Look(
            mono_ns=monotonic_ns(),
            cpu_s={name: cpu_s(pid) for name, pid in self.pids().items()},
            latency_counts=record["latency"]["counts"].astype(np.int64),
            publish_counts=decoder["receive_to_publish"]["counts"].astype(np.int64),
        )

    def pids(self) -> dict[str, int]:
        """Return the pid of every living process by its name, exchange and strategy included."""
        assert self._main is not None and self._strategy is not None
        processes = snapshot(self.paths).processes
        pids = {process.name: process.pid for process in processes if process.alive}
        pids |= {"supervisor": self._main.pid, "strategy": self._strategy.pid}
        if self._exchange is not None:
            pids["simulator"] = self._exchange.pid
        return pids

    def finish(self, *, counted: bool = True, gaps: bool = False) -> list[Window]:
        """End the run in good order; raise if the strategy missed, doubled or was told of anything.

        State changes are told at the start and at the end, and are no loss. Only an exchange in
        load mode counts each instrument's packets; else say `counted=False`. With `gaps` those that
        are announced are expected, and the holes that come of them.
        """
        assert self._main is not None and self._strategy is not None
        self.go_on()
        self._main.terminate()
        if wait_or_kill(self._main, DEADLINE_S) or wait_or_kill(self._strategy, DEADLINE_S):
            raise RuntimeError((self._folder / "log").read_text(errors="replace"))
        found = json.loads((self._folder / "strategy.json").read_text())
        expected = ("StateChange", "Gap") if gaps else ("StateChange",)
        told = [event for event in found["told"] if not event.startswith(expected)]
        if found["lost"] or (counted and not gaps and found["faults"]) or told:
            raise RuntimeError(
                f"{found['lost']} ticks lost, {found['faults']} holes, told: {told[:5]}"
            )
        with np.load(self._folder / "notes.npz") as kept:
            self.notes = Notes(**{name: kept[name] for name in kept.files})
        return [make_window(before, after, self.notes) for before, after in self._marks]


def _end(process: Launched) -> None:
    if process.poll() is None:
        process.terminate()
        wait_or_kill(process, DEADLINE_S)
