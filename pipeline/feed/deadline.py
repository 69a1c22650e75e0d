"""One monotonic deadline over many small waits. Floor 3.

Used while a connection is being opened: every wait is cut into slices, so that the caller's
heartbeat goes on and a wish to stop is heard, and no peer can stretch the whole by trickling.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final, Protocol

SLICE_S: Final = 0.05


class DeadlinePassed(Exception):
    """The whole took too long."""


class Cancelled(Exception):
    """The caller no longer wants it."""


class HasFileno(Protocol):
    """Anything that can be polled."""

    def fileno(self) -> int:
        """Return the descriptor."""


class Deadline:
    """`duration_s` from now; `keep_going` is asked at least each 50 ms while waiting."""

    def __init__(self, duration_s: float, keep_going: Callable[[], bool] = lambda: True) -> None:
        self.duration_s: Final = duration_s
        self._end_s = time.monotonic() + duration_s
        self._keep_going = keep_going

    @property
    def remaining_s(self) -> float:
        """What is left, never below zero."""
        return max(0.0, self._end_s - time.monotonic())

    def part(self, duration_s: float) -> Deadline:
        """Return a deadline for one step: `duration_s`, but never beyond this one."""
        return Deadline(min(duration_s, self.remaining_s), self._keep_going)

    def check(self) -> None:
        """Raise DeadlinePassed or Cancelled if either is so."""
        if not self._keep_going():
            raise Cancelled
        if self.remaining_s == 0.0:
            raise DeadlinePassed

    def slice_s(self) -> float:
        """Check, then return how long the next wait may be."""
        self.check()
        return min(SLICE_S, self.remaining_s)

    def wait(self, sock: HasFileno, events: int) -> None:
        """Wait until the descriptor is ready (`select.POLLIN`, `POLLOUT`), or raise."""
        poller = select.poll()
        poller.register(sock.fileno(), events)
        while not poller.poll(self.slice_s() * 1000):
            pass
