"""A client's messages that wait for their turn: in order, bounded, at a rate. Floor 4; pure.

Messages beyond the rate are not refused but handled later; whoever reads the socket is told until
when to leave the rest where it is, so that the client's own system keeps it.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from pipeline.services.gateway.limits import TokenBucket

#: What may wait when whoever reads did not stop; it never comes to that.
_BYTES_MAX: Final = 8 * 1024 * 1024
#: What a message that waits costs besides its bytes.
_OVERHEAD_BYTES: Final = 64
#: A message with this many instruments counts as one more message, and so does one that is as long.
_ITEMS_PER_MESSAGE: Final = 100
_BYTES_PER_MESSAGE: Final = 16 * 1024


class Inbox:
    """A queue of payloads that lets them out at a rate."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self._waiting: deque[bytes] = deque()
        self.payload_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_overfull(self) -> bool:
        """Whether more waits than any reader that stops when told to can have brought."""
        return self.payload_bytes + _OVERHEAD_BYTES * len(self._waiting) > _BYTES_MAX

    def put(self, payload: bytes) -> None:
        """Take a message behind the others."""
        self._waiting.append(payload)
        self.payload_bytes += len(payload)

    def take(self, now_ns: int) -> bytes | None:
        """Return the next message whose turn it is; None: there is none, or not yet."""
        if not self._waiting or self._bucket.ready_ns() > now_ns:
            return None
        payload = self._waiting.popleft()
        self.charge(1 + len(payload) // _BYTES_PER_MESSAGE, now_ns)
        self.payload_bytes -= len(payload)
        return payload

    def charge_items(self, count: int, now_ns: int) -> None:
        """Count a message that names many instruments as several."""
        self.charge(count // _ITEMS_PER_MESSAGE, now_ns)

    def charge(self, count: int, now_ns: int) -> None:
        """Count so many messages that were none, or that cost as much."""
        self._bucket.take(now_ns, count)

    def pause_until_ns(self, now_ns: int) -> int:
        """Return until when nothing more is to be read; 0: read on."""
        ready_ns = self._bucket.ready_ns()
        return ready_ns if ready_ns > now_ns else 0

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self.payload_bytes = 0
