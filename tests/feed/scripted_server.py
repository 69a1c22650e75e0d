"""A raw-socket WebSocket server that does what a script tells it, right or wrong.

A script is a function of a `Peer`; it runs in a thread, once per accepted connection, and may
answer the handshake as it likes. No protocol code is shared with the product.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from tests.ext.frames import parse_client_frame

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PATIENCE_S: Final = 20.0


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self.request = b""
        self._buffer = b""

    def read_request(self) -> bytes:
        """Read up to the end of the client's headers."""
        while b"\r\n\r\n" not in self.request:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the client left within its request")
            self.request += data
        return self.request

    def upgrade_response(self) -> bytes:
        """Return the 101 answer to the request that was read."""
        key = next(
            line.split(b":", 1)[1].strip()
            for line in self.request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def upgrade(self, and_then: bytes = b"") -> None:
        """Read the request and answer with 101, and more bytes in the same send."""
        self.read_request()
        self.sock.sendall(self.upgrade_response() + and_then)

    def refuse(self, status: int, *headers: str) -> None:
        """Read the request and answer with a status."""
        self.read_request()
        lines = [f"HTTP/1.1 {status} Whatever", *headers, "Content-Length: 3", "", "no!"]
        self.sock.sendall("\r\n".join(lines).encode())

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Return the next client frame as (opcode, payload)."""
        while True:
            try:
                opcode, payload, self._buffer = parse_client_frame(self._buffer)
            except (AssertionError, IndexError, struct.error):
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionError("the client left") from None
                self._buffer += data
            else:
                return opcode, payload

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_end(self) -> None:
        """Read and forget until the client leaves or the test is over."""
        self.sock.settimeout(0.05)
        while not self.stopping.is_set():
            try:
                if not self.sock.recv(65536):
                    return
            except TimeoutError:
                continue


Script = Callable[[Peer], None]


class ScriptedServer:
    """Listens on a free loopback port; `connections` counts what was accepted."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.connections = 0
        self.failures: list[BaseException] = []
        self._tls = tls
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: Final[int] = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)

    @property
    def url(self) -> str:
        """The address, without path or query."""
        scheme, host = ("wss", "localhost") if self._tls else ("ws", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._acceptor.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        if value is None:
            assert not self.failures, self.failures

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        try:
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                self.script(Peer(sock, self._stopping))
        except (OSError, ConnectionError):
            sock.close()  # the client left, or refused our certificate: the test looks at its side
        except AssertionError as failure:
            self.failures.append(failure)


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a scripted server for the length of a `with` block."""
    with ScriptedServer(script, tls) as server:
        yield server
