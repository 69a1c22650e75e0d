"""How one client's bytes travel at the moment: the weather that faults make. Floor 4; no I/O.

Seconds of the monotonic clock throughout. `calm` says that nothing is wrong and the fast path may
be taken.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

FOREVER: Final = float("inf")
_SPLIT_BYTES_MAX: Final = 200
_SPLIT_SENDS: Final = 32


@dataclass
class Conditions:
    """One client's weather; every field is off by default.

    `hold_until_s`: not a byte is sent (mute, delay). `quiet_until_s`: no market data, heartbeats
    go on. `dribble_until_s`: one byte each `dribble_gap_s`. `split_until_s`: small pieces of random
    size. `merge_frames`: nothing is sent until that many data frames wait. `half_open`: neither
    reading nor sending ever again.
    """

    hold_until_s: float = 0.0
    quiet_until_s: float = 0.0
    dribble_until_s: float = 0.0
    dribble_gap_s: float = 0.0
    dribble_next_s: float = 0.0
    split_until_s: float = 0.0
    merge_until_s: float = 0.0
    merge_frames: int = 0
    half_open: bool = False

    def calm(self, now_s: float) -> bool:
        """Whether bytes travel as on any other day."""
        return not self.half_open and now_s >= max(
            self.hold_until_s,
            self.quiet_until_s,
            self.dribble_until_s,
            self.split_until_s,
            self.merge_until_s,
        )

    def held(self, now_s: float) -> bool:
        """Whether not one byte may be sent now."""
        return self.half_open or now_s < self.hold_until_s

    def data_allowed(self, now_s: float) -> bool:
        """Whether market data may be encoded for this client now."""
        return not self.held(now_s) and now_s >= self.quiet_until_s

    def pieces(self, now_s: float, *, pending_frames: int, source: random.Random) -> list[int]:
        """Return the sizes to send in this turn; an empty list means wait, 0 means everything."""
        if self.held(now_s):
            return []
        if now_s < self.dribble_until_s:
            if now_s < self.dribble_next_s:
                return []
            self.dribble_next_s = now_s + self.dribble_gap_s
            return [1]
        if now_s < self.merge_until_s and 0 < pending_frames < self.merge_frames:
            return []
        if now_s < self.split_until_s:
            return [source.randint(1, _SPLIT_BYTES_MAX) for _ in range(_SPLIT_SENDS)]
        return [0]

    def next_change_s(self, now_s: float) -> float:
        """Return when the weather next changes by itself, FOREVER if it does not."""
        if self.half_open:
            return FOREVER
        moments = [self.hold_until_s, self.quiet_until_s, self.merge_until_s, self.split_until_s]
        if now_s < self.dribble_until_s:
            moments.append(max(self.dribble_next_s, now_s + 0.0005))
        return min((moment for moment in moments if moment > now_s), default=FOREVER)
