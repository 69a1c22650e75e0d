"""Where clients connect: each socket is admitted, upgraded and given a client. Floor 4.

Who may come in is the guard's to say, before the upgrade; what a client may do is its session's.
Only the sockets are here. The listening one is the supervisor's and outlives this process.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse
from picows.common import WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from pipeline.core.clock import monotonic_ns
from pipeline.services.gateway.channel import CLOSE_TOO_BIG, Channel
from pipeline.services.gateway.tally import Refusals, Refusing

HANDSHAKE_WITHIN_S: Final = 5.0
READ_BUFFER_BYTES: Final = 4096
#: Of one socket at a time, so that no client's flood keeps the others waiting.
_READ_BYTES_MAX: Final = 8192
#: Frame headers and what one read brings beyond a message that is as long as it may be.
_READ_SLACK: Final = 2 * _READ_BYTES_MAX
#: After a restart all clients come back at once.
_BACKLOG: Final = 1024
#: Descriptors for everything but clients: files, segments, the other sockets.
_OTHER_DESCRIPTORS: Final = 256

_log = logging.getLogger(__name__)
#: picows repeats what a client sent; what is worth telling is counted here.
_silent: Final = logging.Logger("picows", logging.CRITICAL + 1)


class Refused(NamedTuple):
    """A connection that is not upgraded, as HTTP says it."""

    status: int
    reason: str
    retry_after_s: int
    counted_as: Refusing


Arrive = Callable[[str], bool]
Arrived = Callable[[str], object]
Admit = Callable[[str, WSUpgradeRequest, Channel], Refused | None]
Left = Callable[[Channel], None]


class Server:
    """Serves WebSockets on a listening socket.

    arrive: told of a peer's address; says whether its handshake is waited for. arrived: told once
    for each of these, when that wait is over. admit: told of the address, the request and the
    channel that it will have; sets the channel's receiver, or says why not. left: told when that
    channel's socket is gone.
    """

    def __init__(
        self, *, arrive: Arrive, arrived: Arrived, admit: Admit, left: Left, sockets_max: int,
        message_bytes: int, buffer_bytes: int,
    ) -> None:  # fmt: skip
        self.arrive = arrive
        self.arrived = arrived
        self.admit = admit
        self.left = left
        self.sockets = 0
        self.sockets_max = sockets_max
        self.message_bytes = message_bytes
        self.buffer_bytes = buffer_bytes
        self.refusals = Refusals()
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Begin to accept."""
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(self), sock=listener, backlog=_BACKLOG
        )

    def close(self) -> None:
        """Accept no more; the clients that there are stay."""
        if self._server is not None:
            self._server.close()


def raise_descriptor_limit(sockets: int) -> None:
    """Let this process have so many sockets besides its other files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + _OTHER_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _log.warning(
            f"[gateway] connections_max takes {wanted} open files and {allowed} are allowed: raise "
            "the limit (ulimit -n, LimitNOFILE=), or lower connections_max"
        )


class _Protocol(WSProtocol):  # type: ignore[misc]
    """picows' protocol, with an eye on who it is and on how much it sends before it may."""

    def __init__(self, server: Server) -> None:
        super().__init__(
            None, None, False, self._upgrade, _silent,
            True, HANDSHAKE_WITHIN_S,
            False, 20, 20, WSAutoPingStrategy.PING_WHEN_IDLE, False,
            server.message_bytes, None, READ_BUFFER_BYTES,
        )  # fmt: skip
        self._server = server
        self._peer = ""
        self._arriving = False
        self._channel: Channel | None = None

    def connection_made(self, transport: Any) -> None:
        self._server.sockets += 1
        name = transport.get_extra_info("peername")
        self._peer = name[0] if isinstance(name, tuple) else ""
        has_room = self._server.sockets <= self._server.sockets_max
        self._arriving = has_room and self._server.arrive(self._peer)
        if not self._arriving:
            self._server.refusals.count("address" if has_room else "full")
            transport.abort()
        buffer_bytes = self._server.buffer_bytes
        transport.set_write_buffer_limits(high=buffer_bytes, low=buffer_bytes // 4)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.sockets -= 1
        if self._arriving:
            self._server.refusals.count("handshake")
        self._no_longer_arriving()
        super().connection_lost(error)
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.ended()
            self._server.left(channel)

    def get_buffer(self, size_hint: int) -> memoryview:
        """Let a little be read: picows would double its buffer with each read that fills it."""
        return super().get_buffer(size_hint)[:_READ_BYTES_MAX]  # type: ignore[no-any-return]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read, unless it means nothing any more or is more than may be."""
        channel = self._channel
        if channel is None:
            super().buffer_updated(nbytes)
            return
        channel.seen_mono_ns = monotonic_ns()
        if channel.broken:
            return
        channel.unread += nbytes
        super().buffer_updated(nbytes)
        if channel.unread > channel.receiver.payload_bytes_max + _READ_SLACK:
            channel.fail(CLOSE_TOO_BIG, "message too big")
        elif not channel.closing and self.transport.is_close_frame_sent:
            channel.broken = channel.failed = True  # picows has closed it
            channel.end_sending()

    def _no_longer_arriving(self) -> None:
        if self._arriving:
            self._arriving = False
            self._server.arrived(self._peer)

    def _upgrade(self, request: WSUpgradeRequest) -> Channel | WSUpgradeResponseWithListener:
        self._no_longer_arriving()
        channel = Channel()
        refused = self._server.admit(self._peer, request, channel)
        if refused is None:
            self._channel = channel
            return channel
        self._server.refusals.count(refused.counted_as)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if refused.retry_after_s:
            headers["Retry-After"] = str(refused.retry_after_s)
        response = WSUpgradeResponse.create_error_response(
            HTTPStatus(refused.status), refused.reason.encode(), headers
        )
        return WSUpgradeResponseWithListener(response, None)
