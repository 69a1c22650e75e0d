"""WebSocket clients under measurement: each reads binary frames and does the least with them.

Every class takes a URL and, for TLS, the file of the authority to trust. `read(frames)` returns
once that many more frames have come; what comes beyond them counts for the next call.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import websocket

from ext.cells import Bell
from ext.rings import FrameRingWriter
from ext.websocket import FrameReader, StreamResult
from pipeline.core import layout
from pipeline.feed.handshake import Target, open_connection
from pipeline.feed.transport import make_transport
from pipeline.shm import specs
from pipeline.shm.segment import Segment

MESSAGE_BYTES_MAX = 1 << 20
RECEIVE_BUFFER_BYTES = 256 << 10
_TURN_NS = 50_000_000


class Client(Protocol):
    """One connection of one library."""

    def read(self, frames: int) -> None:
        """Read that many more frames."""

    def close(self) -> None:
        """Leave."""


class PipelineClient:
    """The feed's own way: transport, frame reader, frame ring in shared memory, bell."""

    def __init__(self, url: str, ca_file: Path | None, folder: Path) -> None:
        shape = specs.frames(0, capacity=24_000, area_bytes=4 << 20)  # a connection's default
        ring = Segment.create(folder / "frames", shape, instance_id=bytes(16))
        bell = Segment.create(folder / "bell", specs.bell(), instance_id=bytes(16))
        self._status = bytearray(layout.dtypes["FeedStatusC"].itemsize)
        self._transport = make_transport(open_connection(Target(url=url, ca_file=ca_file)))
        self._reader = FrameReader(
            MESSAGE_BYTES_MAX, RECEIVE_BUFFER_BYTES, ring=FrameRingWriter(ring.mapping),
            bell=Bell(bell.mapping, layout.data_offset), connection_epoch=1, status=self._status,
        )  # fmt: skip
        self._counted = np.frombuffer(self._status, layout.dtypes["FeedStatusC"])[0]
        self._goal = 0

    def read(self, frames: int) -> None:
        """See Client."""
        self._goal += frames
        while int(self._counted["frames_out"]) < self._goal:
            result = self._transport.read(
                self._reader, wait_ns=_TURN_NS, want_write=False, turn_ns=_TURN_NS
            )
            if result == StreamResult.STREAM_ENDED:
                raise ConnectionError(f"the stream ended, reason {self._reader.reason}")

    def close(self) -> None:
        """See Client."""
        self._transport.abort()


class WebSocketClientClient:
    """websocket-client, `recv_data_frame`."""

    def __init__(self, url: str, ca_file: Path | None, folder: Path) -> None:
        options = {"ca_certs": str(ca_file)} if ca_file else {}
        self._socket = websocket.create_connection(url, sslopt=options, skip_utf8_validation=True)

    def read(self, frames: int) -> None:
        """See Client."""
        for _ in range(frames):
            self._socket.recv_data_frame()

    def close(self) -> None:
        """See Client."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]


def _context(ca_file: Path | None) -> ssl.SSLContext | None:
    return ssl.create_default_context(cafile=str(ca_file)) if ca_file else None


class WebsocketsClient:
    """websockets, its blocking client without compression."""

    def __init__(self, url: str, ca_file: Path | None, folder: Path) -> None:
        connect = importlib.import_module("websockets.sync.client").connect
        opened = connect(url, ssl=_context(ca_file), compression=None, max_size=None)
        self._socket = opened.__enter__()  # closed the hard way: its orderly end reads all there is

    def read(self, frames: int) -> None:
        """See Client."""
        for _ in range(frames):
            self._socket.recv()

    def close(self) -> None:
        """See Client."""
        self._socket.close_socket()
        self._socket.recv_events_thread.join(10)


class PicowsClient:
    """picows on asyncio, looking at nothing but each frame's size."""

    def __init__(self, url: str, ca_file: Path | None, folder: Path) -> None:
        picows: Any = importlib.import_module("picows")
        self._loop = asyncio.new_event_loop()
        self._received = self._goal = 0
        client = self

        class Listener(picows.WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                client.note(frame.payload_size)

        connect = picows.ws_connect(Listener, url, ssl_context=_context(ca_file))
        self._transport, _ = self._loop.run_until_complete(connect)

    def note(self, _size: int) -> None:
        """Count one frame and stop the loop at the goal."""
        self._received += 1
        if self._received == self._goal:
            self._loop.stop()

    def read(self, frames: int) -> None:
        """See Client."""
        self._goal += frames
        if self._received < self._goal:
            self._loop.run_forever()

    def close(self) -> None:
        """See Client."""
        self._transport.underlying_transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
