"""The PUB socket of the bridge: connects, never waits, and counts what nobody got. Floor 4.

OpenAlgo's proxy binds a SUB and every publisher connects to it. ZeroMQ throws a message away
silently when nobody has subscribed yet, or when a subscriber's queue is full. An XPUB, on the wire
the same, hands out the subscriptions, and with NODROP says of a full queue; so we count both. Two
losses are told by nobody: what lies in the queues when the connection breaks, and what the proxy
itself throws away.
"""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
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

    `connected`: a proxy is, and has subscribed. `published`: handed to ZeroMQ. `dropped_full`: the
    proxy reads too slowly, and its queue here was at the high-water mark. `dropped_unheard`: no
    proxy was connected.
    """

    def __init__(self, endpoint: str, *, high_water_mark: int = SEND_HIGH_WATER_MARK) -> None:
        self._zmq: Any = import_extra("zmq", needed_by="the section [zeromq]")
        self.endpoint = endpoint
        self.published = 0
        self.dropped_full = 0
        self.dropped_unheard = 0
        self.connected = False
        self._context = self._zmq.Context()
        self._socket = self._context.socket(self._zmq.XPUB)
        self._socket.setsockopt(self._zmq.LINGER, LINGER_MS)
        self._socket.setsockopt(self._zmq.SNDHWM, high_water_mark)
        self._socket.setsockopt(self._zmq.XPUB_NODROP, 1)
        self._monitor = self._watch()
        self._has_peer = False
        self._subscribed: set[bytes] = set()
        self._news = self._zmq.Poller()
        for socket in (self._socket, self._monitor):
            self._news.register(socket, self._zmq.POLLIN)
        self._socket.connect(endpoint)

    def _watch(self) -> Any:
        events = self._zmq.EVENT_HANDSHAKE_SUCCEEDED | self._zmq.EVENT_DISCONNECTED
        return self._socket.get_monitor_socket(events)

    def wait(self, seconds: float) -> bool:
        """Wait for a proxy that subscribes, for at most so long; return whether there is one."""
        deadline_ns = monotonic_ns() + int(seconds * NS_PER_S)
        while not self.look():
            left_ns = deadline_ns - monotonic_ns()
            if left_ns <= 0:
                return False
            self._news.poll(left_ns // NS_PER_MS + 1)
        return True

    def look(self) -> bool:
        """Take note of connections made and lost; return whether a proxy listens now."""
        while self._monitor.poll(0):
            number, _ = self._monitor.recv_multipart()
            self._note(int.from_bytes(number[:2], "little") != self._zmq.EVENT_DISCONNECTED)
        while self._socket.poll(0):
            change = self._socket.recv()  # b"\1" and a prefix of topics; b"\0" takes it back
            if change[:1] == b"\1":
                self._subscribed.add(change[1:])
            else:
                self._subscribed.discard(change[1:])
            self._note(self._has_peer)
        return self.connected

    def _note(self, has_peer: bool) -> None:
        self._has_peer = has_peer
        connected = has_peer and bool(self._subscribed)
        if connected != self.connected:
            self.connected = connected
            _log.info(f"{'connected to' if connected else 'lost'} {self.endpoint}")

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
