"""What happens, told to whoever listens, as server-sent events. Floor 4; no I/O.

Nobody waits for a listener: each has a queue of its own, and one whose queue is full is let go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import msgspec

#: Events that wait for one listener, and listeners at a time.
QUEUE_MAX: Final = 256
LISTENERS_MAX: Final = 32

_encode: Final = msgspec.json.Encoder().encode


class Listener:
    """One listener's queue; `lagged` once it was too slow."""

    def __init__(self) -> None:
        self.lagged = False
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()

    def put(self, event: bytes) -> None:
        """Add an event, or note that there is no room."""
        if len(self._waiting) >= QUEUE_MAX:
            self.lagged = True
        else:
            self._waiting.append(event)
        self._news.set()

    async def take(self, timeout_s: float) -> bytes:
        """Return all that waits; empty when nothing came in time."""
        if not self._waiting:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return b""
        found = b"".join(self._waiting)
        self._waiting.clear()
        return found


class Hub:
    """Tells every listener what is published."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._count = 0

    def join(self) -> Listener | None:
        """Return a new listener; None when there are too many."""
        if len(self._listeners) >= LISTENERS_MAX:
            return None
        listener = Listener()
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a listener."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def publish(self, kind: str, document: dict[str, Any]) -> None:
        """Tell an event: `kind` is its name, `document` its data."""
        self._count += 1
        if not self._listeners:
            return
        data = _encode(document).decode()
        event = f"id: {self._count}\nevent: {kind}\ndata: {data}\n\n".encode()
        for listener in self._listeners:
            listener.put(event)
