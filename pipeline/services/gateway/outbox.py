"""What one client is still to be sent: newest first when it is slow, everything when it is not.

Floor 4; does no I/O: bytes go to a callback. While the socket takes what it is given, every frame
goes out in its order, many in one write. From the moment on when it does not, only the newest frame
of each instrument and mode is kept, so that a client's memory is bounded by what it subscribed to,
and what it reads next is the present. Nobody waits for anybody here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: So many frames make a write of their own: a socket that is full is noticed after this many.
FLUSH_FRAMES: Final = 64

MODE_BITS: Final = 2


def slot_of(key: int, mode: int) -> int:
    """Return what an instrument's frames of one mode are kept under."""
    return key << MODE_BITS | mode


@dataclass(slots=True)
class Sums:
    """What became of the frames of all clients: offered = sent + conflated + dropped + waiting."""

    offered: int = 0
    sent: int = 0
    conflated: int = 0
    dropped: int = 0
    bytes_out: int = 0

    @property
    def waiting(self) -> int:
        """How many are in outboxes."""
        return self.offered - self.sent - self.conflated - self.dropped


class Outbox:
    """The frames of one client; `dirty` is where it puts itself when it has something to flush.

    throttled: nothing is sent but by `release`, which somebody calls now and then.
    """

    __slots__ = (
        "_batch", "_closed", "_dirty", "_flows", "_sums", "_throttled", "_waiting", "_write",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[bytes], object],
        sums: Sums,
        dirty: list[Outbox],
        *,
        throttled: bool = False,
    ) -> None:
        self._write = write
        self._sums = sums
        self._dirty = dirty
        self._throttled = throttled
        self._flows = True
        self._closed = False
        self._batch: list[bytes] = []
        self._waiting: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._batch) + len(self._waiting)

    def take(self, slot: int, frame: bytes) -> None:
        """Take a frame that was counted as offered."""
        if self._flows and not self._throttled:
            batch = self._batch
            if not batch:
                self._dirty.append(self)
            batch.append(frame)
            if len(batch) >= FLUSH_FRAMES:
                self.flush()
            return
        if self._closed:
            self._sums.dropped += 1
            return
        if slot in self._waiting:
            self._sums.conflated += 1
        self._waiting[slot] = frame

    def flush(self) -> None:
        """Write what was taken since the last time."""
        batch = self._batch
        if batch:
            data = b"".join(batch)
            self._sums.sent += len(batch)
            self._sums.bytes_out += len(data)
            batch.clear()
            self._write(data)

    def pause(self) -> None:
        """Keep only the newest from now on: the socket is full."""
        self._flows = False

    def resume(self) -> None:
        """Send what waits, as far as the socket takes it, and all that follows."""
        self._flows = not self._closed
        if not self._throttled:
            self.release()

    def release(self) -> None:
        """Send what waits, oldest instrument first, as far as the socket takes it."""
        waiting = self._waiting
        while waiting and self._flows:
            slots = list(waiting)[:FLUSH_FRAMES]
            self._batch += [waiting.pop(slot) for slot in slots]
            self.flush()

    def forget(self, slot: int) -> None:
        """Drop what waits of an instrument's mode: it is wanted no longer."""
        if self._waiting.pop(slot, None) is not None:
            self._sums.dropped += 1

    def close(self) -> None:
        """Drop all that waits and all that comes: nothing can be sent to the client any more."""
        self._sums.dropped += len(self)
        self._batch.clear()
        self._waiting.clear()
        self._flows, self._closed = False, True
