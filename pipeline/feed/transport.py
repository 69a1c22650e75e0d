"""Bytes between a socket and a frame reader, plain or through TLS. Floor 3.

Both kinds read what is there, up to 64 reads or 10 ms, and wait for more no longer than they are
told. Neither knows anything of WebSocket, and neither ever blocks in a send.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from typing import Final, Protocol

from ext.websocket import FrameReader, StreamResult
from pipeline.core.clock import NS_PER_MS, monotonic_ns
from pipeline.core.enums import Reason

READS_MAX: Final = 64
BUSY_NS: Final = 10 * NS_PER_MS

_IDLE: Final = StreamResult.STREAM_IDLE
_BUSY: Final = StreamResult.STREAM_BUSY
_EVENT: Final = StreamResult.STREAM_EVENT
_WRITABLE: Final = StreamResult.STREAM_WRITABLE
_ENDED: Final = StreamResult.STREAM_ENDED


class Transport(Protocol):
    """A connected, non-blocking socket that this object owns."""

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool) -> int:
        """Read into the reader; return a StreamResult. Waits at most `wait_ns` for a byte."""
        ...

    def send(self, data: bytearray) -> int:
        """Send what the socket takes at once; return how much. Raises OSError."""
        ...

    def close(self) -> None:
        """Close in order: what was sent is delivered."""
        ...

    def abort(self) -> None:
        """Close with a reset, so that nothing lingers."""
        ...


def make_transport(sock: socket.socket) -> Transport:
    """Return the transport for a socket; it owns it from now on."""
    return TlsTransport(sock) if isinstance(sock, ssl.SSLSocket) else PlainTransport(sock)


class PlainTransport:
    """The reader's own loop does all of it, without the interpreter."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool) -> int:
        """See Transport."""
        return reader.read_fd(
            self._sock.fileno(),
            reads_max=READS_MAX,
            busy_ns=BUSY_NS,
            wait_ns=wait_ns,
            want_write=want_write,
        )

    def send(self, data: bytearray) -> int:
        """See Transport."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """See Transport."""
        self._sock.close()

    def abort(self) -> None:
        """See Transport."""
        _abort(self._sock)


class TlsTransport:
    """Records are decrypted straight into the reader's buffer."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._read_wants_write = False
        self._send_wants_read = False

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool) -> int:
        """See Transport."""
        result = self._read_what_is_there(reader)
        if result != _IDLE:
            return result
        wants_write = self._read_wants_write or (want_write and not self._send_wants_read)
        ready: int = reader.wait_fd(self._sock.fileno(), wait_ns, wants_write)
        if ready == _BUSY or (ready == _WRITABLE and self._read_wants_write):
            result = self._read_what_is_there(reader)
            # Bytes that belong to TLS alone may also be what a send was waiting for.
            return _WRITABLE if result == _IDLE and self._send_wants_read else result
        return ready

    def _read_what_is_there(self, reader: FrameReader) -> int:
        result: int = _ENDED if reader.reason else _IDLE
        until_ns = monotonic_ns() + BUSY_NS
        for _ in range(READS_MAX):
            if result == _ENDED:
                break
            count = self._recv(reader)
            if count <= 0:
                return _ENDED if count < 0 else result
            result = max(reader.consumed(count), _BUSY, result)
            if monotonic_ns() >= until_ns:
                break
        return result

    def _recv(self, reader: FrameReader) -> int:
        """Return the bytes read, 0 if it would block, -1 at the end."""
        self._read_wants_write = False
        try:
            count = self._sock.recv_into(reader.writable())
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLWantWriteError:
            self._read_wants_write = True
            return 0
        except ssl.SSLEOFError:
            count = 0  # the peer left without a word of TLS, which is as good as a plain FIN
        except OSError as error:
            reader.end(Reason.RESET, error.errno or 0)
            return -1
        if count == 0:
            reader.end(Reason.EOF)
            return -1
        return count

    def send(self, data: bytearray) -> int:
        """See Transport."""
        self._send_wants_read = False
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            return 0
        except ssl.SSLWantReadError:
            self._send_wants_read = True
            return 0

    def close(self) -> None:
        """See Transport."""
        self._sock.close()

    def abort(self) -> None:
        """See Transport."""
        _abort(self._sock)


def _abort(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # broken already: closing it is all that is left
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
