"""From a URL to a socket that speaks WebSocket: resolve, connect, TLS, opening handshake. Floor 3.

One total deadline covers all of it. `websocket-client` writes the request and checks the answer
(RFC 6455 section 4.1) on a socket of ours, which it reads a byte at a time and never beyond the
headers, so that frames sent in the same segment stay in the socket. It never sees a body, a
redirect or a second attempt.

The URL carries the token. It occurs in no exception, log line or repr made here: errors are built
from reasons and status codes, never from the library's texts, and the library's logger is shut.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import websocket
import websocket._handshake as _library
from websocket._cookiejar import SimpleCookieJar

from pipeline.core.clock import real_ns
from pipeline.core.enums import Reason
from pipeline.core.errors import UpstreamError
from pipeline.feed.deadline import Cancelled, Deadline, DeadlinePassed
from pipeline.feed.resolver import Address, ResolveFailed, Resolver
from pipeline.feed.tls import TlsSocket

HANDSHAKE_DEADLINE_S: Final = 10.0
RESOLVE_DEADLINE_S: Final = 5.0
HEADER_BYTES_MAX: Final = 16 << 10
SEND_TIMEOUT_MS: Final = 5_000
HTTP_SWITCHING_PROTOCOLS: Final = 101
STATUS_DIGITS: Final = 3  # RFC 9110 section 15

Socket = socket.socket | TlsSocket


class HandshakeFailed(UpstreamError):
    """No connection; `reason` says at which step, `http_status` what the server answered."""

    def __init__(
        self, reason: Reason, text: str, *, http_status: int = 0, retry_after_s: float | None = None
    ) -> None:
        self.reason = reason
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        super().__init__(text)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to connect. `url` and `headers` may hold secrets and stay out of every repr."""

    url: str = field(repr=False)
    headers: tuple[str, ...] = field(default=(), repr=False)
    ca_file: Path | None = None

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return urlsplit(self.url).scheme == "wss"

    @property
    def port(self) -> int:
        """The port, 443 or 80 unless the URL says."""
        return urlsplit(self.url).port or (443 if self.secure else 80)


def open_connection(
    target: Target,
    *,
    resolver: Resolver | None = None,
    deadline_s: float = HANDSHAKE_DEADLINE_S,
    keep_going: Callable[[], bool] = lambda: True,
) -> Socket:
    """Return a connected, upgraded, non-blocking socket that the caller owns.

    `keep_going` is asked at least each 50 ms; when it says no, Cancelled is raised. Every other
    failure is a HandshakeFailed within `deadline_s`.
    """
    deadline = Deadline(deadline_s, keep_going)
    failure: HandshakeFailed | Cancelled
    try:
        sock = _connect(target, _resolve(target, resolver or Resolver(), deadline), deadline)
        return _secured_and_upgraded(sock, target, deadline)
    except DeadlinePassed:
        failure = HandshakeFailed(
            Reason.CONNECT_TIMEOUT,
            f"{target.host}: no complete answer to the handshake within {deadline_s:g} s",
        )
    except Cancelled:
        failure = Cancelled()
    except HandshakeFailed as error:
        failure = error
    # Raised outside of the handler: the library's exceptions, whose frames hold the URL, are not
    # the context of this one.
    raise failure.with_traceback(None)


def _resolve(target: Target, resolver: Resolver, deadline: Deadline) -> list[Address]:
    try:
        return resolver.resolve(target.host, target.port, deadline.part(RESOLVE_DEADLINE_S))
    except ResolveFailed as error:
        text = f"{target.host}: {error}"
    raise HandshakeFailed(Reason.RESOLVE_FAILED, text)


# ---- TCP and TLS ----------------------------------------------------------------------------


def _connect(target: Target, addresses: list[Address], deadline: Deadline) -> socket.socket:
    failure = f"{target.host}: no address"
    for index, address in enumerate(addresses):
        # A blackholed first address must leave time for the others.
        share = deadline.part(deadline.remaining_s / (len(addresses) - index))
        sock = _make_socket(address)
        try:
            _connect_one(sock, address, share)
        except OSError as error:
            sock.close()
            failure = f"{target.host} port {target.port}: {error.strerror or 'cannot connect'}"
        except (DeadlinePassed, Cancelled):
            sock.close()
            deadline.check()
        else:
            return sock
    raise HandshakeFailed(Reason.CONNECT_FAILED, failure)


def _make_socket(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT_MS)
    return sock


def _connect_one(sock: socket.socket, address: Address, deadline: Deadline) -> None:
    try:
        sock.connect(address.sockaddr)
    except BlockingIOError:
        deadline.wait(sock, select.POLLOUT)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number)) from None


def _secured_and_upgraded(plain: socket.socket, target: Target, deadline: Deadline) -> Socket:
    sock: Socket = plain
    try:
        if target.secure:
            sock = _secure(plain, target, deadline)
        _upgrade(sock, target, deadline)
    except BaseException:
        sock.close()
        raise
    return sock


def _secure(sock: socket.socket, target: Target, deadline: Deadline) -> TlsSocket:
    # Verification has no switch: a simulator brings its own authority as `ca_file`.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if target.ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile=target.ca_file)
    wrapped = TlsSocket(sock, context, server_hostname=target.host)
    try:
        _retry_tls(wrapped.do_handshake, wrapped, deadline)
    except OSError as error:
        wrapped.close()
        text = _tls_failure(error)
    except (DeadlinePassed, Cancelled):
        wrapped.close()
        raise
    else:
        return wrapped
    raise HandshakeFailed(Reason.TLS_FAILED, f"{target.host}: TLS: {text}")


def _tls_failure(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or "the handshake failed"
    return error.strerror or "the connection was lost in the handshake"


def _retry_tls(step: Callable[[], object], sock: Socket, deadline: Deadline) -> object:
    while True:
        deadline.check()
        try:
            return step()
        except (ssl.SSLWantReadError, BlockingIOError):
            deadline.wait(sock, select.POLLIN)
        except ssl.SSLWantWriteError:
            deadline.wait(sock, select.POLLOUT)


# ---- the opening handshake --------------------------------------------------------------------


class _Answered(Exception):
    """The headers are complete; whoever reads on wants a body."""


class _HeadersTooLong(Exception):
    """More header bytes than any honest server sends."""


class _HandshakeSocket:
    """What websocket-client takes for a socket: ours, under the deadline, up to the headers' end.

    `closed` connections are its business, too; it may call `close()`, which does nothing here.
    """

    def __init__(self, sock: Socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self.received = bytearray()

    def fileno(self) -> int:
        return self._sock.fileno()

    def gettimeout(self) -> float:
        return self._deadline.remaining_s

    def settimeout(self, timeout: float | None) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[self._send_some(left) :]
        return len(data)

    def _send_some(self, left: memoryview) -> int:
        while True:
            self._deadline.check()
            try:
                return self._sock.send(left)
            except (ssl.SSLWantWriteError, BlockingIOError):
                self._deadline.wait(self._sock, select.POLLOUT)
            except ssl.SSLWantReadError:
                self._deadline.wait(self._sock, select.POLLIN)

    def recv(self, count: int) -> bytes:
        if self.complete:
            raise _Answered
        if len(self.received) >= HEADER_BYTES_MAX:
            raise _HeadersTooLong
        data = _retry_tls(lambda: self._sock.recv(1), self._sock, self._deadline)
        assert isinstance(data, bytes)
        self.received += data
        return data

    @property
    def complete(self) -> bool:
        return self.received.endswith((b"\r\n\r\n", b"\n\n"))

    @property
    def status(self) -> int:
        """The status code, 0 if there is no status line or none of three digits in it."""
        words = bytes(self.received.partition(b"\n")[0]).split()
        is_status = len(words) > 1 and len(words[1]) == STATUS_DIGITS and words[1].isdigit()
        return int(words[1]) if is_status else 0

    def header(self, name: str) -> str:
        """The first header of that name, an empty string without one."""
        for line in bytes(self.received).split(b"\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return ""


def _upgrade(sock: Socket, target: Target, deadline: Deadline) -> None:
    _shut_library_logger()
    _library.CookieJar = _no_cookies
    wrapper = _HandshakeSocket(sock, deadline)
    text = ""
    try:
        _run_library(wrapper, target)
    except (websocket.WebSocketException, _Answered, ValueError):
        text = "the answer is not a WebSocket upgrade"
    except _HeadersTooLong:
        text = f"headers above {HEADER_BYTES_MAX} bytes"
    except OSError as error:
        text = error.strerror or "the connection was lost in the handshake"
    failure = _judge(wrapper, target, text)
    if failure is not None:
        raise failure


def _run_library(wrapper: _HandshakeSocket, target: Target) -> None:
    client = websocket.WebSocket()
    try:
        client.connect(  # type: ignore[no-untyped-call]
            target.url,
            socket=wrapper,
            header=list(target.headers),
            suppress_origin=True,
            redirect_limit=0,
        )
    finally:
        client.sock = None


def _judge(wrapper: _HandshakeSocket, target: Target, text: str) -> HandshakeFailed | None:
    status = wrapper.status
    if status == HTTP_SWITCHING_PROTOCOLS and not text:
        # Neither was offered, so neither may be accepted (RFC 6455 section 4.1).
        if wrapper.header("Sec-WebSocket-Extensions") or wrapper.header("Sec-WebSocket-Protocol"):
            text = "the server chose an extension or a protocol that was not offered"
        else:
            return None
    # A refusal is one by its status line, however the rest of its headers looks.
    if status in (0, HTTP_SWITCHING_PROTOCOLS):
        return HandshakeFailed(Reason.BAD_HANDSHAKE, f"{target.host}: {text}", http_status=status)
    return HandshakeFailed(
        _status_reason(status),
        f"{target.host}: the handshake was answered with HTTP status {status}",
        http_status=status,
        retry_after_s=_retry_after_s(wrapper.header("Retry-After")),
    )


def _status_reason(status: int) -> Reason:
    if status in (401, 403):
        return Reason.AUTH_REJECTED
    return Reason.RATE_LIMITED if status == 429 else Reason.HTTP_STATUS


def _retry_after_s(value: str) -> float | None:
    # Seconds or a date, RFC 9110 section 10.2.3.
    if value.isdigit():
        return float(value)
    try:
        moment_s = parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, moment_s - real_ns() / 1e9)


class _NoCookies(SimpleCookieJar):
    """Keeps none: the library's jar outlives connections, and raises what it cannot parse."""

    def add(self, set_cookie: str | None) -> None:
        """Forget it."""

    def get(self, host: str) -> str:
        """Return nothing."""
        return ""


_no_cookies: Final = _NoCookies()


class _Shut(logging.Filter):
    """Lets nothing through: with trace enabled the library logs the request line, token and all."""

    def filter(self, record: logging.LogRecord) -> bool:
        return False


_shut: Final = _Shut()


def _shut_library_logger() -> None:
    logging.getLogger("websocket").addFilter(_shut)
