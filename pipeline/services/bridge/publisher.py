"""The PUB socket of the bridge: connects, never waits, and counts what nobody got. Floor 4.

OpenAlgo's proxy binds a SUB and every publisher connects to it. ZeroMQ throws a message away
silently when a subscriber's queue is full; with NODROP the socket says so instead, and we count it.
Three losses are told by nobody: what lies in the queues when the connection breaks, what is sent
between the handshake and the subscription that follows it (well under a millisecond), and what the
proxy itself throws away.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

from pipeline.core.extras import import_extra

LINGER_MS: Final = 1000
SEND_HIGH_WATER_MARK: Final = 1000

_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where topics and payloads go."""

    def send(self, topic: bytes, payload: bytes) -> bool:
        """Send two frames; return False when they were dropped, and counted."""
        ...


class Publisher:
    """A PUB socket with its counters; one thread uses it, and it is closed by `close`.

    `published`: handed to ZeroMQ. `dropped_full`: the proxy reads too slowly, and its queue here
    was at the high-water mark. `dropped_unheard`: no proxy was connected.
    """

    def __init__(self, endpoint: str, *, high_water_mark: int = SEND_HIGH_WATER_MARK) -> None:
        self._zmq: Any = import_extra("zmq", needed_by="the section [zeromq]")
        self.endpoint = endpoint
        self.published = 0
        self.dropped_full = 0
        self.dropped_unheard = 0
        self.connected = False
        self._context = self._zmq.Context()
        self._socket = self._context.socket(self._zmq.PUB)
        self._socket.setsockopt(self._zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(self._zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(self._zmq.XPUB_NODROP, 1)
        self._monitor = self._watch()
        self._socket.connect(endpoint)

    def _watch(self) -> Any:
        events = self._zmq.EVENT_HANDSHAKE_SUCCEEDED | self._zmq.EVENT_DISCONNECTED
        return self._socket.get_monitor_socket(events)

    def look(self) -> bool:
        """Take note of connections made and lost; return whether there is one now."""
        while self._monitor.poll(0):
            number, _ = self._monitor.recv_multipart()
            connected = int.from_bytes(number[:2], "little") != self._zmq.EVENT_DISCONNECTED
            if connected != self.connected:
                self.connected = connected
                _log.info(f"{'connected to' if connected else 'lost'} {self.endpoint}")
        return self.connected

    def send(self, topic: bytes, payload: bytes) -> bool:
        """Send two frames, without waiting; return False when they were dropped, and counted.

        Whether somebody is connected is known as of the last `look`.
        """
        if not self.connected:
            self.dropped_unheard += 1
            return False
        try:
            self._socket.send(topic, self._zmq.SNDMORE | self._zmq.DONTWAIT)
            self._socket.send(payload, self._zmq.DONTWAIT)  # goes where its topic went
        except self._zmq.Again:
            self.dropped_full += 1
            return False
        self.published += 1
        return True

    @property
    def dropped(self) -> int:
        """All that was to be sent and was not."""
        return self.dropped_full + self.dropped_unheard

    def close(self) -> None:
        """Let what is queued go out, for at most a second, and close."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()
        self._context.term()
