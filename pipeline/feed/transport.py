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

from ext.websocket import FrameReader, StreamResult, wait_slice_ns
from pipeline.core.clock import NS_PER_MS, NS_PER_US, monotonic_ns
from pipeline.core.enums import Reason
from pipeline.feed.tls import FETCH_BYTES, TlsSocket

READS_MAX: Final = 64
BUSY_NS: Final = 10 * NS_PER_MS

_IDLE: Final = StreamResult.STREAM_IDLE
_BUSY: Final = StreamResult.STREAM_BUSY
_EVENT: Final = StreamResult.STREAM_EVENT
_WRITABLE: Final = StreamResult.STREAM_WRITABLE
_ENDED: Final = StreamResult.STREAM_ENDED


class Transport(Protocol):
    """A connected socket that this object owns."""

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
        """Read into the reader; return a StreamResult. Waits at most `wait_ns` for a byte.

        May go on reading without the interpreter for `turn_ns`.
        """
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


def make_transport(sock: socket.socket | TlsSocket) -> Transport:
    """Return the transport for a socket; it owns it from now on."""
    return TlsTransport(sock) if isinstance(sock, TlsSocket) else PlainTransport(sock)


class PlainTransport:
    """The reader's own loop does all of it, without the interpreter."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # A read that waits by itself needs no poll before it; it ends for the reader's heartbeat.
        sock.settimeout(None)
        slice_us = wait_slice_ns // NS_PER_US
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, slice_us))

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
        """See Transport."""
        return reader.read_fd(
            self._sock.fileno(),
            reads_max=READS_MAX,
            busy_ns=BUSY_NS,
            wait_ns=wait_ns,
            turn_ns=turn_ns,
            want_write=want_write,
            blocks=True,
        )

    def send(self, data: bytearray) -> int:
        """See Transport."""
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
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

    def __init__(self, sock: TlsSocket) -> None:
        self._sock = sock
        self._drained = False  # nothing whole is left of what was fetched; not so at the beginning
        self._emptied = False  # a short read has emptied the socket: it is polled, not read again
        self._send_wants_read = False
        self._stamped = False

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
        """See Transport."""
        if not self._stamped:  # what came with the handshake's last bytes was received just now
            self._stamped = True
            reader.stamp()
        result = self._read_what_is_there(reader)
        if result != _IDLE:
            return result
        wants_write = self._sock.has_unsent or (want_write and not self._send_wants_read)
        ready: int = reader.wait_fd(self._sock.fileno(), wait_ns, wants_write)
        if ready == _BUSY:
            self._emptied = False
            result = self._read_what_is_there(reader)
            # Bytes that belong to TLS alone may also be what a send was waiting for.
            return _WRITABLE if result == _IDLE and self._send_wants_read else result
        self._flush()
        return ready

    def _read_what_is_there(self, reader: FrameReader) -> int:
        result: int = _ENDED if reader.reason else _IDLE
        until_ns = monotonic_ns() + BUSY_NS
        fetches = 0
        while result != _ENDED:
            if self._drained and (fetches == READS_MAX or not self._fetch(reader)):
                return _ENDED if reader.reason else result
            fetches += self._drained
            result = max(result, self._decrypt(reader, until_ns))
            if monotonic_ns() >= until_ns:
                break
        return result

    def _fetch(self, reader: FrameReader) -> bool:
        """Read the socket once; False if it would block, or the stream has ended."""
        if self._emptied:
            return False
        try:
            self._emptied = 0 < self._sock.fetch() < FETCH_BYTES
        except BlockingIOError:
            return False
        except OSError as error:
            reader.end(Reason.RESET, error.errno or 0)
            return False
        reader.stamp()
        return True

    def _decrypt(self, reader: FrameReader, until_ns: int) -> int:
        """Take the records that were fetched; return a StreamResult."""
        try:
            result = reader.read_records(self._sock.read, ssl.SSLWantReadError, until_ns)
        except ssl.SSLEOFError:  # the peer left without a word of TLS, which is as good as a FIN
            reader.end(Reason.EOF)
            return _ENDED
        except OSError as error:
            reader.end(Reason.RESET, error.errno or 0)
            return _ENDED
        self._drained = reader.drained
        self._flush()
        return result

    def _flush(self) -> None:
        """Send what TLS itself has to say."""
        # That nobody takes it ends nothing: what the peer said before is still to be read.
        with contextlib.suppress(OSError):
            if self._sock.has_unsent:
                self._sock.flush()

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


def _abort(sock: socket.socket | TlsSocket) -> None:
    with contextlib.suppress(OSError):  # broken already: closing it is all that is left
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
