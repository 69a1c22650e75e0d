"""TLS over a non-blocking socket, through memory. Floor 3.

OpenSSL on a socket makes two system calls for every record of 16 KiB; here one call fetches many
records, and decrypting them makes none. What TLS itself has to say (the handshake, alerts, key
updates) leaves with whatever is done next. Knows nothing of WebSocket, and never waits.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

#: One read of the socket: eight records. Measured best; more no longer fits the nearer caches.
FETCH_BYTES: Final = 128 << 10
SEND_BYTES: Final = 64 << 10

_Result = TypeVar("_Result")


class TlsSocket:
    """A client's end of TLS; owns the socket.

    Methods raise what `ssl.SSLSocket` raises: SSLWantReadError, SSLWantWriteError or
    BlockingIOError when the socket is not ready, other OSErrors when the connection is lost.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, *, server_hostname: str
    ) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._fetched = memoryview(bytearray(FETCH_BYTES))
        self._unsent = b""
        self._broken: OSError | None = None  # the first failure to send; reading goes on
        self._sealed = 0  # bytes of the caller's that lie encrypted in what is unsent
        #: `read(count, buffer)` decrypts one record at most, out of memory alone.
        self.read: Final = cast("Callable[[int, Any], int]", self._tls.read)

    def fileno(self) -> int:
        """The socket's descriptor, to wait on."""
        return self._sock.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether something encrypted waits for room in the socket."""
        return self._broken is None and (bool(self._unsent) or self._outgoing.pending > 0)

    def do_handshake(self) -> None:
        """Go on with the handshake; call again when the socket is ready."""
        try:
            self._step(self._tls.do_handshake)
        finally:
            with contextlib.suppress(OSError):  # an alert, if the peer still listens
                self.flush()

    def recv(self, count: int) -> bytes:
        """Return some bytes, none at the end."""
        return self._step(lambda: self._tls.read(count))

    def _step(self, step: Callable[[], _Result]) -> _Result:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                if not self.flush():
                    raise ssl.SSLWantWriteError from None
            self.fetch()

    def fetch(self) -> int:
        """Read the socket once, for `read` to decrypt; return the count, 0 at the end."""
        count = self._sock.recv_into(self._fetched)
        if count:
            self._incoming.write(self._fetched[:count])
        else:
            self._incoming.write_eof()
        return count

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send a beginning of `data` and return its length once the socket has all of it.

        Until then SSLWantWriteError is raised, and the next call must bring the same bytes.
        """
        if not self._sealed:
            self._sealed = self._tls.write(bytes(data[:SEND_BYTES]))
        if not self.flush():
            raise ssl.SSLWantWriteError
        count, self._sealed = self._sealed, 0
        return count

    def flush(self) -> bool:
        """Send what is encrypted; return whether the socket took all of it.

        Raises OSError when the socket takes nothing any more, now and ever after.
        """
        if self._broken is not None:
            raise self._broken
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                return False
            except OSError as error:
                self._broken, self._unsent = error, b""
                raise
        return True

    def setsockopt(self, level: int, name: int, value: bytes) -> None:
        """Set an option of the socket."""
        self._sock.setsockopt(level, name, value)

    def close(self) -> None:
        """Close the socket; what it has taken is delivered."""
        self._sock.close()

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
