"""Whether a silent process hangs. Floor 5; pure, time is passed in.

A supervisor that was away itself (stopped, or the machine was busy) cannot tell the others'
silence from its own, so it grants everybody one more period.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.clock import NS_PER_S

AWAY_NS: Final = NS_PER_S


class HangWatch:
    """Judges heartbeats; call `note_turn` on every turn of the supervisor's loop."""

    def __init__(self, timeout_ns: int, now_ns: int) -> None:
        self._timeout_ns = timeout_ns
        self._last_turn_ns = now_ns
        self._grace_until_ns = 0

    def note_turn(self, now_ns: int) -> None:
        """Take note that the supervisor itself is awake."""
        if now_ns - self._last_turn_ns > AWAY_NS:
            self._grace_until_ns = now_ns + self._timeout_ns
        self._last_turn_ns = now_ns

    def is_hung(self, now_ns: int, *, heartbeat_ns: int, busy_until_ns: int) -> bool:
        """Return whether both times are past by more than the timeout."""
        if now_ns < self._grace_until_ns:
            return False
        return now_ns > max(heartbeat_ns, busy_until_ns) + self._timeout_ns
