"""How fast a counter grows: over the last second, ten and sixty. Floor 2; pure.

The second is a plain window: what counts per second now, exact a second after it changed. (An
exponential mean with that time constant would be off by a twentieth three seconds after.) Ten and
sixty are exponential means in which each period counts by its length; while they are young they
count only what they have seen, so that a steady rate is right from the first period on.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S

SPANS_S: Final = (10.0, 60.0)


class Rates(NamedTuple):
    """Counts per second over the last second, ten and sixty."""

    s1: float = 0.0
    s10: float = 0.0
    s60: float = 0.0


class RateMeter:
    """Fed with a counter now and then; once a second or more often gives all three their meaning.

    A counter that falls has begun anew: what it shows then was counted since.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque()  # oldest first; [0] is a second old or more
        self._total = 0
        self._last_counter = 0
        self._means = [_Mean(span_s) for span_s in SPANS_S]

    def update(self, now_ns: int, counter: int) -> Rates:
        """Note the counter at a time (monotonic ns); return the rates. Time never goes back."""
        if not self._samples:
            self._last_counter = counter
            self._samples.append((now_ns, 0))
            return Rates()
        last_ns = self._samples[-1][0]
        if now_ns <= last_ns:
            return self.rates  # what was added is seen the next time
        added = counter - self._last_counter if counter >= self._last_counter else counter
        self._last_counter = counter
        self._total += added
        for mean in self._means:
            mean.add(added, (now_ns - last_ns) / NS_PER_S)
        self._samples.append((now_ns, self._total))
        while len(self._samples) > 2 and now_ns - self._samples[1][0] >= NS_PER_S:
            self._samples.popleft()
        return self.rates

    @property
    def rates(self) -> Rates:
        """The rates at the last update."""
        if len(self._samples) < 2:
            return Rates()
        (first_ns, first), (last_ns, last) = self._samples[0], self._samples[-1]
        s1 = (last - first) * NS_PER_S / (last_ns - first_ns)
        return Rates(s1, *(mean.value for mean in self._means))


class _Mean:
    """An exponential mean of a rate."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._sum = 0.0
        self._weight = 0.0

    def add(self, count: int, period_s: float) -> None:
        keep = math.exp(-period_s / self._span_s)
        self._sum = self._sum * keep + count / period_s * (1 - keep)
        self._weight = self._weight * keep + 1 - keep

    @property
    def value(self) -> float:
        return self._sum / self._weight if self._weight else 0.0


class RecentCount:
    """How much a counter has grown lately: what came within the last `span_ns`.

    Remembers only when it grew, so that a long span of a calm counter costs nothing. A counter
    that falls has begun anew.
    """

    def __init__(self, span_ns: int) -> None:
        self.span_ns = span_ns
        self._last: int | None = None
        self._grown: deque[tuple[int, int]] = deque()
        self._count = 0

    def update(self, now_ns: int, counter: int) -> int:
        """Note the counter at a time (monotonic ns); return what was added within the span."""
        before = counter if self._last is None else self._last
        added = counter - before if counter >= before else counter
        self._last = counter
        if added:
            self._grown.append((now_ns, added))
            self._count += added
        while self._grown and now_ns - self._grown[0][0] >= self.span_ns:
            self._count -= self._grown.popleft()[1]
        return self._count
