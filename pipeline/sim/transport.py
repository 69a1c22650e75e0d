"""A client's socket, plain or under TLS, behind the same few methods. Floor 4.

Non-blocking throughout. Plain sockets are sent to by the compiled part with the GIL released; TLS
takes copies of up to one record, and hands the same bytes again after a would-block, as OpenSSL
requires.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from ext.simulate import Output
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.errors import PipelineError

RECEIVE_BYTES: Final = 1 << 16
_TLS_RECORD_BYTES: Final = 1 << 14
_TCP_ESTABLISHED: Final = 1
_NO_LIMIT: Final = 1 << 62


class PlainTransport:
    """An accepted socket; owns it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def compiled(self) -> bool:
        """Whether the compiled part may send to the descriptor itself."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.sock.fileno()

    def receive(self) -> bytes | None:
        """Return what arrived, b"" at the end of the stream, None when nothing is there.

        Raises OSError when the connection is broken.
        """
        try:
            return self.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, output: Output, limit: int = _NO_LIMIT) -> int:
        """Hand at most `limit` waiting bytes over; return how many were taken, or raise OSError."""
        return output.send(self.sock.fileno(), limit)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Hand bytes over that are in no Output; return how many were taken, or raise OSError."""
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def established(self) -> bool:
        """Whether the peer is still there, without reading; True where the system cannot say."""
        if not hasattr(socket, "TCP_INFO"):
            return True
        state = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return state == bytes([_TCP_ESTABLISHED])

    def finish(self, *, orderly: bool = True) -> None:
        """Send FIN, after TLS's farewell if `orderly`; reading goes on."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close the socket; with `reset` the peer sees RST."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class TlsTransport(PlainTransport):
    """The same over TLS; the TLS handshake happens inside the first reads."""

    sock: ssl.SSLSocket

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self.sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._retry = b""

    @property
    def compiled(self) -> bool:
        """Whether the compiled part may send to the descriptor itself."""
        return False

    def receive(self) -> bytes | None:
        """Return what arrived, b"" at the end of the stream, None when nothing is there."""
        try:
            return self.sock.recv(RECEIVE_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            return b""

    def send(self, output: Output, limit: int = _NO_LIMIT) -> int:
        """Hand at most `limit` waiting bytes over; return how many were taken, or raise OSError."""
        total = 0
        while total < limit and output.pending_bytes:
            record = self._retry or output.waiting(min(_TLS_RECORD_BYTES, limit - total))
            # Before the send, as the truth log says it: a client may have read it when it returns.
            times = {"send_ts_ns": real_ns(), "send_mono_ns": monotonic_ns()}
            try:
                taken = self.sock.send(record)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._retry = record
                break
            self._retry = b""
            output.hand(taken, **times)
            total += taken
        return total

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Hand bytes over that are in no Output; after 0 the next call begins with the same."""
        try:
            return self.sock.send(memoryview(data)[:_TLS_RECORD_BYTES])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def finish(self, *, orderly: bool = True) -> None:
        """Send FIN, after TLS's farewell if `orderly`; reading goes on."""
        if orderly:
            with suppress(ssl.SSLError):  # it has been sent; the peer's own need not be awaited
                self.sock.unwrap()
        socket.socket.shutdown(self.sock, socket.SHUT_WR)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server's context; raises PipelineError when the files are no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A key with a passphrase fails rather than having one asked for on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        raise PipelineError(
            f"TLS with certificate {certificate} and key {key}: {error}; "
            "expected PEM files that belong together, the key without a passphrase"
        ) from None
    return context
