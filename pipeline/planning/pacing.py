"""How fast instruments move, and how long something must hold before it is acted on. Floor 2; pure.

Both remember what they were told and nothing else: times are passed in, monotonic nanoseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from pipeline.core.clock import NS_PER_S


class MovePacer:
    """Lets so many moves begin in any one second, and no more."""

    def __init__(self, moves_per_s: int) -> None:
        self.moves_per_s = moves_per_s
        self._begun: deque[tuple[int, int]] = deque()
        self._count = 0

    def take(self, now_ns: int, wanted: int) -> int:
        """Return how many of the moves wanted may begin now; they count as begun."""
        while self._begun and now_ns - self._begun[0][0] >= NS_PER_S:
            self._count -= self._begun.popleft()[1]
        allowed = max(min(wanted, self.moves_per_s - self._count), 0)
        if allowed:
            self._begun.append((now_ns, allowed))
            self._count += allowed
        return allowed

    def next_ns(self) -> int:
        """Return when there is room again; 0 = there is now."""
        if self._count < self.moves_per_s or not self._begun:
            return 0
        return self._begun[0][0] + NS_PER_S


class Steady:
    """Tells for how long a fact has been the same: hysteresis against what comes and goes."""

    def __init__(self, hold_ns: int) -> None:
        self.hold_ns = hold_ns
        self._fact: Hashable = None
        self._since_ns: int | None = None

    def observe(self, now_ns: int, fact: Hashable) -> bool:
        """Note a fact; return whether it has been the same for as long as it must hold."""
        if self._since_ns is None or fact != self._fact:
            self._fact, self._since_ns = fact, now_ns
        return now_ns - self._since_ns >= self.hold_ns

    def reset(self) -> None:
        """Forget: what comes next is new, even if it is the same."""
        self._since_ns = None
