"""The simulated exchange's sign of life in its instance, for the supervisor. Floor 4.

An exchange that runs alone has none.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.shm.pages import StatusPage

#: Beats closer together than this are one: the loop may turn 100,000 times a second.
BEAT_NS: Final = NS_PER_S // 50


class Pulse:
    """Writes the status page; `interval_s` is the longest time that the loop may wait."""

    def __init__(self, page: StatusPage, interval_s: float) -> None:
        self.interval_s = interval_s
        self._page = page
        self._turns = 0
        self._next_ns = 0

    def beat(self, sessions: int) -> None:
        """Take note of a turn of the loop."""
        self._turns += 1
        now_ns = monotonic_ns()
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + BEAT_NS
        self._page.beat(now_ns)
        self._page.record["turns"] = self._turns
        self._page.record["sessions"] = sessions
