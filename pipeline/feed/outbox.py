"""What a feed has to say and the socket has not taken yet. Floor 3; no socket of its own.

Bounded: whoever has more to say waits for room. A socket that takes nothing for `timeout_ns` is
as good as dead.
"""

from __future__ import annotations

from typing import Final

from pipeline.feed.transport import Transport

#: Subscriptions wait while so much is waiting already; pongs and closes, which are few and
#: small, do not. Together they stay below 256 KiB.
ROOM_BYTES: Final = 128 << 10


class Outbox:
    """Frames on their way out, in order."""

    def __init__(self, *, timeout_ns: int) -> None:
        self._data = bytearray()
        self._timeout_ns = timeout_ns
        self._since_ns = 0  # when the socket last took something, or when waiting began
        self.broken = False

    def __len__(self) -> int:
        return len(self._data)

    def add(self, frame: bytes, now_ns: int) -> None:
        """Add a whole frame; see ROOM_BYTES for what could wait."""
        if self.broken:
            return
        if not self._data:
            self._since_ns = now_ns
        self._data += frame

    def flush(self, transport: Transport, now_ns: int) -> None:
        """Send what the socket takes. A send error marks the outbox broken, once and for all:
        what the server said before that is still to be read, and so is how it ended.
        """
        while self._data and not self.broken:
            try:
                sent = transport.send(self._data)
            except OSError:
                self.broken = True
                return
            if sent == 0:
                return
            del self._data[:sent]
            self._since_ns = now_ns

    def is_blocked(self, now_ns: int) -> bool:
        """Whether the socket has taken nothing for too long."""
        return bool(self._data) and now_ns - self._since_ns >= self._timeout_ns
