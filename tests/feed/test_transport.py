"""Both kinds of socket under a frame reader: reading, sending, ends."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ext.cells import Word
from ext.mapping import Mapping
from ext.rings import FrameRingWriter
from ext.websocket import FrameReader, StreamResult
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import Reason
from pipeline.feed.tls import TlsSocket
from pipeline.feed.transport import PlainTransport, TlsTransport, Transport, make_transport
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from tests.ext.frames import BINARY, TEXT, server_frame
from tests.feed.authority import Authority

LONG_NS = 20 * 10**9
Pair = tuple[socket.socket, Transport]


def connect() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return server, client


def secure(server: socket.socket, client: socket.socket, authority: Authority) -> Pair:
    context = ssl.create_default_context(cafile=authority.ca_file)
    accepted: list[socket.socket] = []
    side = authority.server_context()
    thread = threading.Thread(
        target=lambda: accepted.append(side.wrap_socket(server, server_side=True))
    )
    thread.start()
    wrapped = TlsSocket(client, context, server_hostname="localhost")
    wrapped.do_handshake()
    thread.join()
    client.setblocking(False)
    return accepted[0], make_transport(wrapped)


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """A (server socket, client transport) pair of each kind."""
    server, client = connect()
    if request.param == "tls":
        server, transport = secure(server, client, Authority(tmp_path))
        assert isinstance(transport, TlsTransport)
    else:
        client.setblocking(False)
        transport = make_transport(client)
        assert isinstance(transport, PlainTransport)
    yield server, transport
    server.close()
    transport.close()


def read_until(transport: Transport, reader: FrameReader, done: Callable[[], bool]) -> None:
    while not done():
        result = transport.read(reader, wait_ns=LONG_NS, want_write=False)
        assert result not in (StreamResult.STREAM_IDLE, StreamResult.STREAM_ENDED)


def test_nothing_comes_within_the_wait(pair: Pair) -> None:
    _, transport = pair
    result = transport.read(FrameReader(), wait_ns=1_000_000, want_write=False)
    assert result == StreamResult.STREAM_IDLE


def test_a_long_wait_beats_and_ends_when_the_watched_word_changes(
    pair: Pair, tmp_path: Path
) -> None:
    _, transport = pair
    file = tmp_path / "word"
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        word = Word(Mapping(opened.fileno(), 8, writable=True), 0)
    reader = FrameReader(watch=word)
    reader.watched = 7
    before_ns = monotonic_ns()
    hour_ns = 3600 * 10**9
    page = np.frombuffer(reader.status, layout.dtypes["FeedStatusC"], 1)
    while page["head"]["heartbeat_mono_ns"] <= before_ns:  # TLS may have bytes of its own first
        result = transport.read(reader, wait_ns=hour_ns, want_write=False)
        assert result == StreamResult.STREAM_IDLE


def test_a_signal_that_came_before_the_wait_ends_it(pair: Pair) -> None:
    _, transport = pair
    awake, waker = os.pipe()
    os.set_blocking(awake, False)
    reader = FrameReader(wake_fd=awake)
    hour_ns = 3600 * 10**9
    for _ in range(2):
        os.write(waker, b"\x0f\x0f")
        result = transport.read(reader, wait_ns=hour_ns, want_write=False)
        assert result == StreamResult.STREAM_INTERRUPTED
        result = transport.read(reader, wait_ns=1_000_000, want_write=True)
        assert result == StreamResult.STREAM_WRITABLE
    os.close(waker)  # nobody can wake it any more: that is told once
    result = transport.read(reader, wait_ns=hour_ns, want_write=False)
    assert result == StreamResult.STREAM_INTERRUPTED
    result = transport.read(reader, wait_ns=1_000_000, want_write=False)
    assert result == StreamResult.STREAM_IDLE
    os.close(awake)


def test_a_signal_that_comes_after_bytes_ends_the_wait(pair: Pair, tmp_path: Path) -> None:
    server, transport = pair
    awake, waker = os.pipe()
    os.set_blocking(awake, False)
    spec = specs.frames(3, capacity=64, area_bytes=16_384)
    ring = Segment.create(tmp_path / "frames", spec, instance_id=bytes(16))
    # With a ring, a message ends no wait.
    reader = FrameReader(4096, 2048, ring=FrameRingWriter(ring.mapping), wake_fd=awake)
    hour_ns = 3600 * 10**9
    server.sendall(server_frame(BINARY, b"first"))
    late = threading.Timer(0.1, os.write, [waker, b"\x0f"])
    late.start()
    result = StreamResult.STREAM_BUSY
    while result == StreamResult.STREAM_BUSY:
        result = transport.read(reader, wait_ns=hour_ns, want_write=False, turn_ns=hour_ns)
    late.join()
    os.close(awake)
    os.close(waker)
    assert result == StreamResult.STREAM_INTERRUPTED


def test_messages_arrive_whole_whatever_the_records(pair: Pair) -> None:
    server, transport = pair
    payloads = [bytes([i % 256]) * (i * 37 % 40_000) for i in range(1, 60)]
    data = b"".join(server_frame(BINARY, payload) for payload in payloads)
    sender = threading.Thread(target=server.sendall, args=(data,))
    sender.start()
    reader = FrameReader(receive_buffer_bytes=4096)
    read_until(transport, reader, lambda: len(reader.events) == len(payloads))
    sender.join()
    assert [payload for _, payload, _, _ in reader.events] == payloads


def test_an_event_is_told_as_such(pair: Pair) -> None:
    server, transport = pair
    server.sendall(server_frame(TEXT, b"{}"))
    reader = FrameReader()
    result = StreamResult.STREAM_BUSY
    while result == StreamResult.STREAM_BUSY:
        result = StreamResult(transport.read(reader, wait_ns=LONG_NS, want_write=False))
    assert result == StreamResult.STREAM_EVENT


def test_room_to_write_is_told_when_wanted(pair: Pair) -> None:
    _, transport = pair
    reader = FrameReader()
    results = [transport.read(reader, wait_ns=LONG_NS, want_write=True) for _ in range(3)]
    assert StreamResult.STREAM_WRITABLE in results


def test_a_full_socket_takes_nothing_and_raises_nothing(pair: Pair) -> None:
    _, transport = pair
    data = bytearray(1 << 20)
    for _ in range(10_000):
        if transport.send(data) == 0:
            return
    pytest.fail("the socket took ten gigabytes")


def test_what_is_sent_arrives(pair: Pair) -> None:
    server, transport = pair
    assert transport.send(bytearray(b"hello")) == 5
    assert server.recv(100) == b"hello"


def test_the_end_is_told_after_the_last_message(pair: Pair) -> None:
    server, transport = pair
    server.sendall(server_frame(BINARY, b"last"))
    server.close()
    reader = FrameReader()
    results = [transport.read(reader, wait_ns=LONG_NS, want_write=False)]
    while results[-1] != StreamResult.STREAM_ENDED:
        results.append(transport.read(reader, wait_ns=LONG_NS, want_write=False))
    assert reader.reason == Reason.EOF
    assert [payload for _, payload, _, _ in reader.events] == [b"last"]


def test_what_came_before_the_first_read_has_a_receive_time(pair: Pair) -> None:
    server, transport = pair
    server.sendall(server_frame(TEXT, b"{}"))
    reader = FrameReader()
    while not reader.events:
        transport.read(reader, wait_ns=LONG_NS, want_write=False)
    [(_, _, receive_ts_ns, receive_mono_ns)] = reader.events
    assert receive_ts_ns > 0 and receive_mono_ns > 0


def test_records_that_came_with_the_handshake_have_a_receive_time(tmp_path: Path) -> None:
    server, client = connect()
    server, transport = secure(server, client, Authority(tmp_path))
    assert isinstance(transport, TlsTransport)
    server.sendall(server_frame(TEXT, b"{}"))
    select.select([client], [], [], 30)
    transport._sock.fetch()  # as the opening handshake does, for as much as there is
    reader = FrameReader()
    transport.read(reader, wait_ns=LONG_NS, want_write=False)
    [(_, _, receive_ts_ns, receive_mono_ns)] = reader.events
    assert receive_ts_ns > 0 and receive_mono_ns > 0
    server.close()
    transport.close()


def test_what_was_said_before_a_failed_send_is_still_read(pair: Pair) -> None:
    server, transport = pair
    payloads = [bytes([number % 256]) * 1000 for number in range(300)]
    server.sendall(b"".join(server_frame(BINARY, payload) for payload in payloads))
    server.shutdown(socket.SHUT_WR)
    mine = transport._sock  # type: ignore[attr-defined]
    getattr(mine, "_sock", mine).shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        transport.send(bytearray(b"late"))
    reader = FrameReader()
    while transport.read(reader, wait_ns=LONG_NS, want_write=False) != StreamResult.STREAM_ENDED:
        pass
    assert [payload for _, payload, _, _ in reader.events] == payloads
    assert reader.reason == Reason.EOF


def test_a_reset_is_told(pair: Pair) -> None:
    server, transport = pair
    make_transport(server).abort()
    reader = FrameReader()
    while transport.read(reader, wait_ns=LONG_NS, want_write=False) != StreamResult.STREAM_ENDED:
        pass
    # OpenSSL tells some resets as an end of stream; both are a lost connection.
    is_plain = isinstance(transport, PlainTransport)
    assert reader.reason in ([Reason.RESET] if is_plain else [Reason.RESET, Reason.EOF])


def test_an_abort_is_a_reset_for_the_peer() -> None:
    server, client = connect()
    with server:
        make_transport(client).abort()
        with pytest.raises(ConnectionResetError):
            server.recv(100)
