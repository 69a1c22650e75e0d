"""The run itself: the time line, the two faults half-way, and the drain at the end. Floor 6."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pipeline.cli.demo.options import DemoOptions
from pipeline.cli.demo.readings import Reading
from pipeline.cli.demo.scenario import FAST
from pipeline.cli.demo.stage import Stage, wait_until

DRAIN_DEADLINE_S: Final = 20.0
_FRAME_S: Final = 0.5
_FOREVER_S: Final = 1e6
_MUTE_AFTER_RESET_S: Final = 0.5
_SETTLED: Final = ("LIVE", "QUIET")

Show = Callable[[Reading, float, list[str]], None]


class Act:
    """Plays the time line on a stage; `first` and `last` frame the measured time."""

    def __init__(self, stage: Stage, options: DemoOptions, show: Show) -> None:
        self.stage = stage
        self.options = options
        self.show = show
        self.news: list[str] = []
        self.first: Reading
        self.last: Reading
        self.end: Reading
        first = options.faults_after_s
        self._due: list[tuple[float, Callable[[], None]]] = [
            (first, self._reset),
            (first + _MUTE_AFTER_RESET_S, self._mute),
        ]

    def play(self) -> None:
        """Run for the given time, then let everything sent arrive."""
        self.first = self.stage.observer.read()
        start = time.monotonic()
        while (now := time.monotonic() - start) < self.options.seconds:
            self._do_due(now)
            self.show(self.stage.observer.read(), now, self.news)
            time.sleep(min(_FRAME_S, max(0.0, self.options.seconds - now)))
        self.last = self.stage.observer.read()
        wait_until(self._is_healed, deadline_s=DRAIN_DEADLINE_S, what="all to be live again")
        self._drain()
        self.end = self.stage.observer.read()

    def _do_due(self, now_s: float) -> None:
        while self._due and self._due[0][0] <= now_s:
            self._due.pop(0)[1]()

    def _reset(self) -> None:
        target = 0
        self.stage.control.command("reset", connection=target)
        self.news.append(f"the exchange resets connection {target}")

    def _mute(self) -> None:
        target = self._mute_target
        self.stage.control.command("mute", connection=target, seconds=_FOREVER_S)
        self.news.append(f"the exchange goes mute on connection {target}, its socket stays open")

    @property
    def _mute_target(self) -> int:
        return min(1, self.options.connections - 1)

    def _is_healed(self) -> bool:
        """Whether the silence was noticed and all is live: only data closes a gap."""
        found = {c.number: c for c in self.stage.observer.read().status.connections}
        was_noticed = found[self._mute_target].feed_counters["stalls"] > 0
        return was_noticed and all(c.state in _SETTLED for c in found.values())

    def _drain(self) -> None:
        """Stop the exchange's data and wait until every stage has passed on what it has."""
        self.stage.control.command("quiet", seconds=_FOREVER_S)
        wait_until(self._is_drained, deadline_s=DRAIN_DEADLINE_S, what="the last ticks to arrive")

    def _is_drained(self) -> bool:
        told = self.stage.control.command("stat")
        if any(client["pending_bytes"] for client in told["clients"] if client["open"]):
            return False
        before = self.stage.observer.read()
        time.sleep(0.2)  # what the kernel holds is read within far less
        after = self.stage.observer.read()
        settled = all(c.state in _SETTLED for c in after.status.connections)
        still = before.ticks_out == after.ticks_out and not any(
            c.frames.behind for c in after.status.connections
        )
        return settled and still and after.readers[FAST].lag == 0
