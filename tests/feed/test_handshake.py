"""Opening a connection: what every kind of server, honest or not, makes of it."""

from __future__ import annotations

import io
import logging
import socket
import time
import traceback
from pathlib import Path

import pytest
import websocket

from ext.websocket import FrameReader
from pipeline.core.enums import Reason
from pipeline.feed.deadline import Cancelled, Deadline
from pipeline.feed.handshake import HandshakeFailed, Target, open_connection
from pipeline.feed.transport import make_transport
from tests.ext.frames import BINARY, TEXT, server_frame
from tests.feed.authority import Authority
from tests.feed.scripted_server import Peer, ScriptedServer, serving

CANARY = "canary-token-8c1f"


def target(server: ScriptedServer, **options: Path) -> Target:
    return Target(url=f"{server.url}/?api_key=k&access_token={CANARY}", **options)


def failure_of(server: ScriptedServer, deadline_s: float = 10.0) -> HandshakeFailed:
    with pytest.raises(HandshakeFailed) as caught:
        open_connection(target(server), deadline_s=deadline_s)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    return caught.value


def test_frames_in_the_same_segment_as_the_headers_are_not_lost() -> None:
    frames = server_frame(TEXT, b"{}") + server_frame(BINARY, b"\x00") * 3
    with serving(lambda peer: peer.upgrade(frames)) as server:
        with open_connection(target(server)) as sock:
            reader = FrameReader()
            while len(reader.events) < 4:
                reader.read_fd(sock.fileno(), wait_ns=10**9)
        assert [payload for _, payload, _, _ in reader.events] == [b"{}", b"\x00", b"\x00", b"\x00"]


def test_the_socket_is_tuned_and_does_not_block() -> None:
    with serving(Peer.upgrade) as server, open_connection(target(server)) as sock:
        assert sock.getblocking() is False
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000


def test_the_request_holds_query_and_headers_and_no_origin() -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        seen.append(peer.request)

    with serving(script) as server:
        wanted = Target(url=f"{server.url}/?access_token=a%2Fb", headers=("X-Kite-Version: 3",))
        open_connection(wanted).close()
    assert seen[0].startswith(b"GET /?access_token=a%2Fb HTTP/1.1\r\n")
    assert b"\r\nX-Kite-Version: 3\r\n" in seen[0]
    assert b"origin" not in seen[0].lower()
    assert b"sec-websocket-extensions" not in seen[0].lower()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.AUTH_REJECTED),
        (403, Reason.AUTH_REJECTED),
        (429, Reason.RATE_LIMITED),
        (200, Reason.HTTP_STATUS),
        (301, Reason.HTTP_STATUS),
        (302, Reason.HTTP_STATUS),
        (400, Reason.HTTP_STATUS),
        (503, Reason.HTTP_STATUS),
    ],
)
def test_a_status_is_classified(status: int, reason: Reason) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(status, "Location: ws://127.0.0.1:9/steal")

    with serving(script) as server:
        failure = failure_of(server)
        assert (failure.reason, failure.http_status) == (reason, status)
        assert str(status) in str(failure)
    assert server.connections == 1, "a redirect is not followed"


@pytest.mark.parametrize(
    "rest",
    [
        b"X-Name: caf\xe9\r\n\r\n",
        b"no colon\r\n\r\n",
        b"X: " + b"y" * 20000 + b"\r\n\r\n",
        b"X: y\r\n",
    ],
    ids=["latin-1", "no colon", "too long", "cut off"],
)
def test_a_refusal_is_one_however_its_headers_look(rest: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 403 Forbidden\r\n" + rest)

    with serving(script) as server:
        failure = failure_of(server)
    assert (failure.reason, failure.http_status) == (Reason.AUTH_REJECTED, 403)


def test_cookies_are_neither_judged_nor_kept() -> None:
    requests: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.read_request()
        requests.append(peer.request)
        cookies = b"Set-Cookie: a,b=c\r\n" if len(requests) == 1 else b""
        cookies += b"Set-Cookie: id=1; Domain=127.0.0.1\r\n"
        peer.send(peer.upgrade_response()[:-2] + cookies + b"\r\n")

    with serving(script) as server:
        for _ in range(2):
            open_connection(Target(url=server.url)).close()
    assert len(requests) == 2 and b"ookie" not in b"".join(requests)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("17", 17, 17),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 1e8, 1e10),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, low: float, high: float) -> None:
    with serving(lambda peer: peer.refuse(429, f"Retry-After: {value}")) as server:
        retry_after_s = failure_of(server).retry_after_s
    assert retry_after_s is not None and low <= retry_after_s <= high


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Retry-After: soon\r\n",
        b"Retry-After: Fri, 31 Dec 99999999999999999999 23:59:59 GMT\r\n",
    ],
)
def test_without_a_usable_retry_after_there_is_none(header: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 429 Too Many Requests\r\n" + header + b"\r\n")

    with serving(script) as server:
        failure = failure_of(server)
        assert (failure.reason, failure.retry_after_s) == (Reason.RATE_LIMITED, None)


def _wrong_accept(peer: Peer) -> None:
    peer.read_request()
    peer.send(peer.upgrade_response().replace(b"Accept: ", b"Accept: x"))


def _no_upgrade_header(peer: Peer) -> None:
    peer.read_request()
    peer.send(peer.upgrade_response().replace(b"Upgrade: websocket\r\n", b""))


def _chosen_extension(peer: Peer) -> None:
    peer.read_request()
    answer = peer.upgrade_response()[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    peer.send(answer)


def _another_protocol(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def _status_of_many_digits(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 " + b"4" * 5000 + b" Many\r\n\r\n")


def _status_above_any_word(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 99999999999 Large\r\n\r\n")


def _not_utf8(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 101 \xff\xfe\r\n\r\n")


def _leaves(peer: Peer) -> None:
    peer.read_request()


def _leaves_within_headers(peer: Peer) -> None:
    peer.read_request()
    peer.send(peer.upgrade_response()[:40])


def _headers_without_end(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-Filler: yes\r\n" * 2000)
    peer.wait_for_end()


def _resets(peer: Peer) -> None:
    peer.read_request()
    peer.reset()


@pytest.mark.parametrize(
    "script",
    [
        _wrong_accept,
        _no_upgrade_header,
        _chosen_extension,
        _another_protocol,
        _not_utf8,
        _status_of_many_digits,
        _status_above_any_word,
        _leaves,
        _leaves_within_headers,
        _headers_without_end,
        _resets,
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_bad_handshake(script: object) -> None:
    with serving(script) as server:  # type: ignore[arg-type]
        failure = failure_of(server)
        assert failure.reason == Reason.BAD_HANDSHAKE
        assert failure.__cause__ is None


def test_trickling_headers_do_not_extend_the_deadline() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 1000:
            if peer.stopping.wait(0.02):
                return
            peer.send(bytes([byte]))

    with serving(script) as server:
        began_s = time.monotonic()
        failure = failure_of(server, deadline_s=0.4)
        assert failure.reason == Reason.CONNECT_TIMEOUT
        assert time.monotonic() - began_s >= 0.4


def test_a_silent_server_is_a_timeout() -> None:
    with serving(Peer.wait_for_end) as server:
        assert failure_of(server, deadline_s=0.2).reason == Reason.CONNECT_TIMEOUT


def test_a_refused_connection_is_told_with_host_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(HandshakeFailed, match=f"127.0.0.1 port {port}") as caught:
        open_connection(Target(url=f"ws://127.0.0.1:{port}/?access_token={CANARY}"))
    assert caught.value.reason == Reason.CONNECT_FAILED
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_wish_to_stop_is_heard_while_waiting() -> None:
    asked = []

    def keep_going() -> bool:
        asked.append(1)
        return len(asked) < 4

    with serving(Peer.wait_for_end) as server, pytest.raises(Cancelled) as caught:
        open_connection(target(server), keep_going=keep_going)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


# ---- names --------------------------------------------------------------------------


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(HandshakeFailed, match=r"no\.invalid: Name or service") as caught:
        open_connection(Target(url=f"ws://no.invalid/?access_token={CANARY}"))
    assert caught.value.reason == Reason.RESOLVE_FAILED


# ---- TLS ----------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_tls_with_the_authority_of_the_config(authority: Authority) -> None:
    with (
        serving(lambda peer: peer.upgrade(b"\x82\x01x"), authority.server_context()) as server,
        open_connection(target(server, ca_file=authority.ca_file)) as sock,
    ):
        reader = FrameReader()
        transport, deadline = make_transport(sock), Deadline(10)
        while not reader.events:
            deadline.check()
            transport.read(reader, wait_ns=50_000_000, want_write=False)
        assert reader.events[0][:2] == (BINARY, b"x")


@pytest.mark.parametrize("fault", ["unknown authority", "wrong host", "expired"])
def test_a_doubtful_certificate_is_refused(authority: Authority, fault: str) -> None:
    host = "elsewhere.example" if fault == "wrong host" else "localhost"
    context = authority.server_context(host, expired=fault == "expired")
    trusted = {} if fault == "unknown authority" else {"ca_file": authority.ca_file}
    with serving(Peer.upgrade, context) as server:
        with pytest.raises(HandshakeFailed, match="certificate was refused") as caught:
            open_connection(target(server, **trusted))
        assert caught.value.reason == Reason.TLS_FAILED


def test_a_plain_server_behind_wss_is_a_tls_failure(authority: Authority) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.wait_for_end()

    with serving(script) as server:
        wanted = Target(url=f"wss://localhost:{server.port}/", ca_file=authority.ca_file)
        with pytest.raises(HandshakeFailed) as caught:
            open_connection(wanted)
        assert caught.value.reason == Reason.TLS_FAILED


# ---- the token ----------------------------------------------------------------------


def test_no_log_at_any_level_holds_the_token(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    websocket.enableTrace(True, handler)
    try:
        with serving(Peer.upgrade) as server:
            open_connection(target(server)).close()
        with serving(lambda peer: peer.refuse(403)) as server:
            failure_of(server)
    finally:
        websocket.enableTrace(False)
        root.removeHandler(handler)
        root.setLevel(before)
    assert CANARY not in stream.getvalue()
    shown = capfd.readouterr()
    assert CANARY not in shown.out + shown.err


def test_a_target_does_not_show_its_url() -> None:
    wanted = Target(url=f"wss://h/?access_token={CANARY}", headers=(f"X: {CANARY}",))
    assert CANARY not in repr(wanted) + str(wanted)
