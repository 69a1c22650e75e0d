"""Gating: load mode sends no faster than a named reader takes ticks. Floor 4.

Sent minus delivered stays within half a tick stream, per pipeline connection. `delivered()` reads
the cursors in the reader's page; this file is the arithmetic, and knows nothing of shared memory.
"""

from __future__ import annotations

from typing import Final, Protocol

_UNGATED: Final = 1 << 62
_WAIT_S: Final = 0.0002


class Delivered(Protocol):
    """Says how far the named reader has come."""

    @property
    def window(self) -> int:
        """How many ticks may be under way: half a tick stream."""

    def attached(self) -> bool:
        """Whether the reader is there; raises PipelineError once it was and has died."""

    def delivered(self, connection: int) -> int:
        """Return how many ticks of this connection it has passed, ever."""


class Gated(Protocol):
    """What the gate needs of a client."""

    @property
    def connection(self) -> int: ...
    @property
    def packets_queued(self) -> int: ...


class Gate:
    """Budgets per client; a session begins with nothing in flight."""

    def __init__(self, reader: Delivered) -> None:
        self._reader = reader
        self._bases: dict[int, tuple[Gated, int]] = {}
        self._waiting = False

    def opened(self, client: Gated) -> None:
        """Begin a session: what an earlier one of the same connection sent no longer counts."""
        if client.connection >= 0 and self._reader.attached():
            base = self._reader.delivered(client.connection) - client.packets_queued
            self._bases[client.connection] = (client, base)

    def budget(self, client: Gated) -> int:
        """Return how many packets this client may be sent now."""
        if client.connection < 0:
            return _UNGATED
        if not self._reader.attached():
            self._waiting = True
            return 0
        holder, base = self._bases.get(client.connection, (None, 0))
        if holder is not client:
            self.opened(client)
            base = self._bases[client.connection][1]
        passed = self._reader.delivered(client.connection) - base
        budget = max(0, self._reader.window - (client.packets_queued - passed))
        self._waiting = budget == 0
        return budget

    def wait_s(self) -> float:
        """Return how long to wait before asking again."""
        return _WAIT_S if self._waiting else 0.0
