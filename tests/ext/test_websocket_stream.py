"""The read loop on real sockets, and binary messages on their way into a frame ring."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ext.cells import Bell, Word
from ext.mapping import Mapping
from ext.rings import FrameRingReader, FrameRingWriter
from ext.websocket import FrameReader, StreamResult
from pipeline.core import layout
from pipeline.core.enums import FrameKind, Reason
from pipeline.shm import specs
from pipeline.shm.segment import Segment
from tests.ext.frames import BINARY, PING, TEXT, close_frame, fragmented, server_frame
from tests.ext.test_websocket import counters, messages

Pair = tuple[socket.socket, socket.socket]
LONG_NS = 20 * 10**9


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connected (server, client) pair over loopback TCP; the client does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.setblocking(False)
    with server, client:
        yield server, client


@pytest.fixture
def ring(tmp_path: Path) -> Segment:
    """A frame ring that takes messages of up to 4,096 bytes."""
    spec = specs.frames(3, capacity=64, area_bytes=16_384)
    return Segment.create(tmp_path / "frames", spec, instance_id=bytes(16))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_messages_that_come_while_waiting_are_read(pair: Pair) -> None:
    server, client = pair
    reader = FrameReader()
    assert reader.read_fd(client.fileno(), wait_ns=0) == StreamResult.STREAM_IDLE
    sender = threading.Timer(0.02, server.sendall, [server_frame(TEXT, b"{}")])
    sender.start()
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_EVENT
    sender.join()
    assert messages(reader) == [(TEXT, b"{}")]


def test_polling_before_sleeping_finds_the_same(pair: Pair) -> None:
    server, client = pair
    reader = FrameReader(spin_ns=2_000_000)
    assert reader.read_fd(client.fileno(), wait_ns=3_000_000) == StreamResult.STREAM_IDLE
    server.sendall(server_frame(TEXT, b"{}"))
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_EVENT


def test_binary_goes_into_the_ring_and_text_to_the_caller(pair: Pair, ring: Segment) -> None:
    server, client = pair
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(4096, 2048, ring=writer, connection_epoch=7)
    server.sendall(
        server_frame(BINARY, b"\x00")
        + server_frame(TEXT, b"{}")
        + fragmented(BINARY, b"ab", b"", b"cd")
        + server_frame(BINARY, b"")
    )
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_EVENT
    assert messages(reader) == [(TEXT, b"{}")]
    source = FrameRingReader(ring.mapping)
    found = [source.poll() for _ in range(writer.tail)]
    assert [f["payload"] for f in found if f] == [b"\x00", b"abcd", b""]
    for frame in found:
        assert frame is not None
        assert frame["kind"] == FrameKind.MESSAGE
        assert frame["connection_epoch"] == 7
        assert frame["receive_ts_ns"] > 10**18 and frame["receive_mono_ns"] > 0
    counted = counters(reader)
    assert (counted["messages_in"], counted["frames_out"], counted["heartbeats_in"]) == (4, 3, 2)


def test_the_bell_rings_once_for_a_read(pair: Pair, ring: Segment, tmp_path: Path) -> None:
    server, client = pair
    segment = Segment.create(tmp_path / "bell", specs.bell(), instance_id=bytes(16))
    bell = Bell(segment.mapping, layout.data_offset)
    reader = FrameReader(4096, 2048, ring=FrameRingWriter(ring.mapping), bell=bell)
    seen = bell.look()
    bell.arm()
    server.sendall(server_frame(BINARY, b"x") * 5)
    reader.read_fd(client.fileno(), wait_ns=LONG_NS, busy_ns=0)
    assert bell.look() == seen + 1
    assert not bell.sleep(bell.look(), 0)


def test_a_reader_refuses_a_ring_that_its_messages_do_not_fit(ring: Segment) -> None:
    with pytest.raises(ValueError, match="4097"):
        FrameReader(4097, 2048, ring=FrameRingWriter(ring.mapping))


def test_the_end_of_the_stream_is_told_after_the_last_message(pair: Pair) -> None:
    server, client = pair
    server.sendall(server_frame(BINARY, b"last") + b"\x82")
    server.close()
    reader = FrameReader()
    while reader.read_fd(client.fileno(), wait_ns=LONG_NS) != StreamResult.STREAM_ENDED:
        pass
    assert messages(reader) == [(BINARY, b"last")]
    assert reader.reason == Reason.EOF
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_ENDED
    assert counters(reader)["resets"] == 1


def test_a_reset_is_an_end_with_its_errno(pair: Pair) -> None:
    server, client = pair
    reset(server)
    reader = FrameReader()
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_ENDED
    assert reader.reason == Reason.RESET
    assert reader.error_number > 0


def test_reads_are_bounded(pair: Pair) -> None:
    server, client = pair
    frame = server_frame(BINARY, b"x" * 1000)
    server.sendall(frame * 20)
    reader = FrameReader(1000, 1024)
    results = []
    while len(reader.events) < 20:
        results.append(reader.read_fd(client.fileno(), reads_max=2, wait_ns=LONG_NS))
    assert counters(reader)["reads"] >= 20
    assert [payload for _, payload in messages(reader)] == [b"x" * 1000] * 20
    assert len(results) >= 10


def test_room_to_write_is_told_only_when_wanted(pair: Pair) -> None:
    _, client = pair
    reader = FrameReader()
    assert reader.read_fd(client.fileno(), wait_ns=0, want_write=False) == StreamResult.STREAM_IDLE
    result = reader.read_fd(client.fileno(), wait_ns=LONG_NS, want_write=True)
    assert result == StreamResult.STREAM_WRITABLE


def test_a_signal_ends_the_wait(pair: Pair) -> None:
    _, client = pair
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        result = FrameReader().read_fd(client.fileno(), wait_ns=LONG_NS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert result == StreamResult.STREAM_INTERRUPTED
    assert heard == [signal.SIGALRM]


def test_a_signal_is_heard_however_much_comes(pair: Pair, ring: Segment) -> None:
    server, client = pair
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    reader = FrameReader(4096, 2048, ring=FrameRingWriter(ring.mapping), wake_fd=wake)
    over = threading.Event()

    def flood() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            if number == 100:
                os.write(waker, b"\x0f")
            server.sendall(server_frame(BINARY, bytes(1000)) * 8)

    sender = threading.Thread(target=flood)
    sender.start()
    result = reader.read_fd(client.fileno(), wait_ns=LONG_NS, busy_ns=1_000_000, turn_ns=LONG_NS)
    over.set()
    while sender.is_alive():
        reader.read_fd(client.fileno(), wait_ns=1_000_000)
    sender.join()
    os.close(waker)
    os.close(wake)
    assert result == StreamResult.STREAM_INTERRUPTED


def let_block(client: socket.socket) -> None:
    client.setblocking(True)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))


def test_a_read_that_waits_by_itself_takes_what_comes_and_beats(pair: Pair, ring: Segment) -> None:
    server, client = pair
    let_block(client)
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(4096, 2048, ring=writer)
    page = np.frombuffer(reader.status, layout.dtypes["FeedStatusC"], 1)
    over = threading.Event()

    def send() -> None:
        for number in range(20):
            beat = int(page["head"]["heartbeat_mono_ns"][0])
            server.sendall(server_frame(BINARY, b"%d" % number) * 2)
            # As long as it takes to have waited in vain once.
            while page["head"]["heartbeat_mono_ns"][0] == beat and not over.wait(0.001):
                pass
        server.sendall(server_frame(TEXT, b"{}"))

    sender = threading.Thread(target=send)
    sender.start()
    result = StreamResult.STREAM_BUSY
    while result == StreamResult.STREAM_BUSY:
        result = reader.read_fd(client.fileno(), wait_ns=LONG_NS, turn_ns=LONG_NS, blocks=True)
    over.set()
    sender.join()
    assert result == StreamResult.STREAM_EVENT
    assert writer.tail == 40


def test_a_read_that_waits_by_itself_hears_a_signal_that_did_not_interrupt_it(
    pair: Pair, ring: Segment
) -> None:
    server, client = pair
    let_block(client)
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(4096, 2048, ring=writer, wake_fd=wake)
    server.sendall(server_frame(BINARY, b"first"))
    late = threading.Timer(0.12, os.write, [waker, b"\x0f"])
    late.start()
    result = reader.read_fd(client.fileno(), wait_ns=LONG_NS, turn_ns=LONG_NS, blocks=True)
    late.join()
    os.close(waker)
    os.close(wake)
    assert result == StreamResult.STREAM_INTERRUPTED
    assert writer.tail == 1


def test_a_read_that_waits_by_itself_hears_that_the_watched_word_changes(
    pair: Pair, ring: Segment, tmp_path: Path
) -> None:
    server, client = pair
    let_block(client)
    file = tmp_path / "word"
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        word = np.memmap(opened, np.uint64)  # to write to
        mapping = Mapping(opened.fileno(), 8, writable=True)
    reader = FrameReader(4096, 2048, ring=FrameRingWriter(ring.mapping), watch=Word(mapping, 0))
    server.sendall(server_frame(BINARY, b"first"))
    late = threading.Timer(0.12, word.__setitem__, [0, 1])
    late.start()
    began = time.monotonic()
    result = reader.read_fd(client.fileno(), wait_ns=LONG_NS, turn_ns=LONG_NS, blocks=True)
    late.join()
    assert result == StreamResult.STREAM_BUSY
    assert time.monotonic() - began < LONG_NS / 2e9


def test_a_broken_rule_between_good_messages_keeps_the_good_ones(pair: Pair, ring: Segment) -> None:
    server, client = pair
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(4096, 2048, ring=writer)
    server.sendall(server_frame(BINARY, b"good") + b"\xff\x00" + server_frame(BINARY, b"late"))
    while reader.read_fd(client.fileno(), wait_ns=LONG_NS) != StreamResult.STREAM_ENDED:
        pass
    assert reader.close_code == 1002
    assert writer.tail == 1


def test_an_announced_giant_never_reaches_the_ring(pair: Pair, ring: Segment) -> None:
    server, client = pair
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(writer.message_bytes_max, 2048, ring=writer)
    server.sendall(struct.pack(">BBH", 0x82, 126, 4097))
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_ENDED
    assert (reader.reason, reader.close_code) == (Reason.TOO_BIG, 1009)
    assert writer.tail == 0


def test_events_keep_the_order_of_the_wire(pair: Pair) -> None:
    server, client = pair
    reader = FrameReader()
    server.sendall(
        server_frame(BINARY, b"1")
        + server_frame(PING, b"2")
        + server_frame(TEXT, b"3")
        + close_frame(1000)
    )
    assert reader.read_fd(client.fileno(), wait_ns=LONG_NS) == StreamResult.STREAM_EVENT
    assert [opcode for opcode, _ in messages(reader)] == [BINARY, PING, TEXT, 8]


def test_bytes_that_tls_delivered_take_the_same_way(ring: Segment) -> None:
    writer = FrameRingWriter(ring.mapping)
    reader = FrameReader(4096, 2048, ring=writer)
    data = server_frame(BINARY, b"x" * 3000) + server_frame(TEXT, b"{}")
    results = []
    while data:
        room = reader.writable()
        taken = min(len(room), 700, len(data))
        room[:taken] = data[:taken]
        data = data[taken:]
        results.append(reader.consumed(taken))
    assert results[-1] == StreamResult.STREAM_EVENT
    assert writer.tail == 1
    assert messages(reader) == [(TEXT, b"{}")]
