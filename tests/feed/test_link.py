"""A live connection: what is read, said, counted and decided while it lasts."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from ext.websocket import FrameReader, StreamResult
from pipeline.core.enums import Mode, Reason, SegmentKind, State
from pipeline.feed import link as link_module
from pipeline.feed.link import Link
from pipeline.shm.tables import confirmed_rows
from tests.ext.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    server_frame,
)
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for

HEARTBEAT = server_frame(BINARY, b"\x00")
TICK = server_frame(BINARY, b"\x00\x01\x00\x08" + bytes(8))


def beating(peer: Peer, *, tick: bool = True) -> None:
    """Send a heartbeat (and a tick) each 20 ms until the test is over."""
    while not peer.stopping.wait(0.02):
        peer.send(HEARTBEAT + (TICK if tick else b""))


def commands_of(frames: list[tuple[int, bytes]]) -> list[dict[str, object]]:
    return [json.loads(payload) for opcode, payload in frames if opcode == TEXT]


def test_a_connection_subscribes_and_goes_live(tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        heard.extend(peer.receive() for _ in range(2))
        beating(peer)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE, Reason.FIRST_DATA)
        tokens = [408065, 884737, 256265]
        assert commands_of(heard) == [
            {"a": "subscribe", "v": tokens},
            {"a": "mode", "v": ["full", tokens]},
        ]
        assert stage.states()[:3] == [
            (State.CONNECTING, Reason.STARTED),
            (State.SUBSCRIBING, Reason.CONNECTED),
            (State.LIVE, Reason.FIRST_DATA),
        ]
    assert stage.wire() == dict.fromkeys(tokens, Mode.FULL)
    assert b"\x00\x01\x00\x08" + bytes(8) in stage.messages()
    assert stage.counter("commands_out") == 2
    assert stage.counter("wire_count") == stage.counter("assigned_count") == 3
    assert stage.counter("frames_out") == len(stage.messages())
    assert stage.counter("last_http_status") == 101


def test_an_orderly_end_says_goodbye_and_takes_the_last_messages(tmp_path: Path) -> None:
    goodbye: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        while (frame := peer.receive())[0] != CLOSE:
            pass
        goodbye.append(frame)
        peer.send(server_frame(BINARY, b"last words") + close_frame(1000))

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running(patient_end=True):
            stage.wait_for_state(State.LIVE)
    assert goodbye == [(CLOSE, b"\x03\xe8")]
    assert stage.messages()[-1] == b"last words"
    assert stage.states()[-2:] == [
        (State.DRAINING, Reason.SHUTDOWN),
        (State.CLOSED, Reason.DRAINED),
    ]


def test_an_end_does_not_wait_for_a_server_that_does_not_answer(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE)
    assert stage.state == (State.CLOSED, Reason.DRAINED)


def test_changes_of_the_assignment_are_sent_as_differences(tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []
    changed = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        heard.extend(peer.receive() for _ in range(2))
        changed.wait(20)
        heard.extend(peer.receive() for _ in range(4))
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            wait_for(lambda: len(stage.wire()) == 3, "full wire table")
            wanted = {884737: Mode.FULL, 256265: Mode.LTP, 738561: Mode.QUOTE}
            stage.assign(wanted)
            changed.set()
            wait_for(lambda: len(heard) == 6, "differences")
            wait_for(lambda: stage.wire() == wanted, "new wire table")
    assert (
        commands_of(heard)[2:]
        == [
            {"a": "unsubscribe", "v": [408065]},
            {"a": "subscribe", "v": [738561]},
            {"a": "mode", "v": ["quote", [738561]]},
        ]
        or commands_of(heard)[2]["a"] == "unsubscribe"
    )


def test_texts_go_where_the_session_says(tmp_path: Path) -> None:
    order = b'{"type":"order","data":{"status":"COMPLETE"}}'
    error = b'{"type":"error","data":"Too many"}'
    odd = b'{"type":"never-heard"}'
    bad = b"[1,2"
    texts = b"".join(server_frame(TEXT, text) for text in (order, error, odd, bad))

    def script(peer: Peer) -> None:
        peer.upgrade(texts + TICK)
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE)
    assert stage.texts(SegmentKind.ORDERS) == [order]
    assert stage.texts(SegmentKind.TEXT) == [error, odd, bad]
    assert stage.counter("orders_out") == 1
    assert stage.counter("text_out") == 3
    assert stage.counter("text_invalid") == 2
    assert stage.counter("server_errors") == 1
    parts = ("frames_out", "orders_out", "text_out", "messages_own", "messages_dropped")
    assert stage.counter("messages_in") == sum(stage.counter(part) for part in parts)


def test_pings_are_answered_with_their_payload(tmp_path: Path) -> None:
    pongs: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade(server_frame(PING, b"one") + server_frame(PING, b"two") + TICK)
        while len(pongs) < 2:
            opcode, payload = peer.receive()
            if opcode == PONG:
                pongs.append(payload)
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            wait_for(lambda: len(pongs) == 2, "pongs")
    assert pongs == [b"one", b"two"]


ENDINGS = {
    "reset": (Peer.reset, Reason.RESET, 0),
    "end of stream": (lambda peer: peer.sock.shutdown(socket.SHUT_WR), Reason.EOF, 0),
    "close frame": (lambda peer: peer.send(close_frame(1001)), Reason.CLOSE_FRAME, 1001),
    "empty close frame": (
        lambda peer: peer.send(server_frame(CLOSE)),
        Reason.CLOSE_FRAME,
        1005,
    ),
    "broken rule": (
        lambda peer: peer.send(server_frame(BINARY, b"x", reserved=4)),
        Reason.PROTOCOL_ERROR,
        1002,
    ),
    "bad text": (lambda peer: peer.send(server_frame(TEXT, b"\xff")), Reason.BAD_UTF8, 1007),
    "giant": (
        lambda peer: peer.send(b"\x82\x7f" + (1 << 62).to_bytes(8, "big")),
        Reason.TOO_BIG,
        1009,
    ),
    "ping flood": (
        lambda peer: peer.send(server_frame(PING) * 1500),
        Reason.PING_FLOOD,
        1008,
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending_is_told_once_and_a_new_connection_follows(name: str, tmp_path: Path) -> None:
    end, reason, code = ENDINGS[name]
    first, live = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        if not first.is_set():
            first.set()
            assert live.wait(30)
            end(peer)  # type: ignore[operator]
            if name != "reset":
                peer.wait_for_end()
        else:
            beating(peer)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            live.set()
            stage.wait_for_state(State.RECONNECTING)
            wait_for(lambda: stage.states().count((State.LIVE, Reason.FIRST_DATA)) == 2, "LIVE")
    told = [f for f in stage.poll() if f["state"] == State.RECONNECTING]
    assert [(f["reason"], f["detail"]) for f in told] == [(reason, code)]
    assert stage.counter("last_close_code") == code
    live = [f for f in stage.poll() if f["state"] == State.LIVE]
    assert [f["connection_epoch"] for f in live] == [1, 2]
    assert stage.wire() == dict.fromkeys([408065, 884737, 256265], Mode.FULL)


def test_a_close_is_echoed_once(tmp_path: Path) -> None:
    answers: list[tuple[int, bytes]] = []
    first, ended = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        if first.is_set():
            peer.wait_for_end()
            return
        first.set()
        peer.receive()
        peer.receive()
        peer.send(close_frame(3001, b"why not"))
        try:
            while True:
                answers.append(peer.receive())
        except ConnectionError:
            ended.set()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.RECONNECTING, Reason.CLOSE_FRAME)
            wait_for(ended.is_set, "the end of the first connection")
        assert stage.page.record["last_close_reason"].tobytes().rstrip(b"\0") == b"why not"
    assert [payload for opcode, payload in answers if opcode == CLOSE] == [
        (3001).to_bytes(2, "big")
    ]


def test_silence_is_pinged_and_then_is_a_stall(tmp_path: Path) -> None:
    pings: list[bytes] = []
    connections = []

    def script(peer: Peer) -> None:
        connections.append(1)
        peer.upgrade(TICK)
        if len(connections) > 1:
            beating(peer)
            return
        while True:
            opcode, payload = peer.receive()
            if opcode == PING:
                pings.append(payload)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "ping_after_s = 0.2\nstall_after_s = 0.4")
        with stage.running():
            stage.wait_for_state(State.STALLED, Reason.STALL)
            wait_for(lambda: stage.states().count((State.LIVE, Reason.FIRST_DATA)) == 2, "LIVE")
    assert pings == [b""]
    assert stage.counter("stalls") == 1
    assert (State.RECONNECTING, Reason.STALL) in stage.states()


def test_an_answered_ping_keeps_a_silent_connection(tmp_path: Path) -> None:
    answered = []

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        while len(answered) < 4:
            opcode, payload = peer.receive()
            if opcode == PING:
                answered.append(payload)
                peer.send(server_frame(PONG, payload))
        beating(peer)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "ping_after_s = 0.1\nstall_after_s = 5.0")
        with stage.running():
            wait_for(lambda: len(answered) == 4, "four pings")
        assert server.connections == 1
    assert stage.counter("stalls") == 0


def test_heartbeats_without_ticks_are_quiet_and_asked_for_once(tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []
    resumed = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        peer.sock.settimeout(0.02)
        while not peer.stopping.is_set():
            peer.send(HEARTBEAT + (TICK if resumed.is_set() else b""))
            try:
                heard.append(peer.receive())
            except TimeoutError:
                continue

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "quiet_after_s = 0.3")
        with stage.running():
            stage.wait_for_state(State.QUIET, Reason.NO_TICKS)
            wait_for(lambda: len(commands_of(heard)) == 4, "second subscription")
            resumed.set()
            wait_for(lambda: stage.states().count((State.LIVE, Reason.FIRST_DATA)) == 2, "LIVE")
        assert server.connections == 1
    said = commands_of(heard)
    assert said[2:4] == said[:2]
    assert stage.counter("resubscriptions") == 1


def test_a_subscription_that_stays_dead_is_given_up(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        beating(peer, tick=False)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "quiet_after_s = 0.2")
        with stage.running():
            stage.wait_for_state(State.RECONNECTING, Reason.NO_TICKS)
            wait_for(lambda: server.connections >= 2, "another connection")
    assert stage.counter("resubscriptions") >= 1


def test_without_instruments_nothing_is_expected(tmp_path: Path) -> None:
    heard: list[tuple[int, bytes]] = []

    def beat(peer: Peer) -> None:
        with contextlib.suppress(OSError):  # the other thread closes it at the end
            beating(peer, tick=False)

    def script(peer: Peer) -> None:
        peer.upgrade()
        threading.Thread(target=beat, args=(peer,)).start()
        heard.append(peer.receive())
        peer.send(TICK)
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "quiet_after_s = 0.1")
        stage.assign({})
        with stage.running():
            stage.wait_for_state(State.QUIET, Reason.ASSIGNMENT_EMPTY)
            wait_for(lambda: stage.counter("heartbeats_in") > 20, "heartbeats")
            assert stage.state == (State.QUIET, Reason.ASSIGNMENT_EMPTY)
            assert heard == []
            stage.assign({408065: Mode.LTP})
            stage.wait_for_state(State.LIVE)
        assert server.connections == 1


def test_outside_the_hours_missing_ticks_are_no_news(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        beating(peer, tick=False)

    with serving(script) as server:
        stage = Stage(
            tmp_path,
            server.url,
            'quiet_after_s = 0.1\n[session]\nhours = { days = ["mon"], open = 00:00:00, close = '
            "00:00:01, holidays = [], extra_days = [] }",
        )
        with stage.running():
            wait_for(lambda: stage.counter("heartbeats_in") > 20, "heartbeats")
    assert State.QUIET not in [state for state, _ in stage.states()]


def test_outside_the_hours_ticks_are_live_all_the_same(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        beating(peer)

    with serving(script) as server:
        stage = Stage(
            tmp_path,
            server.url,
            '[session]\nhours = { days = ["mon"], open = 00:00:00, close = 00:00:01, '
            "holidays = [], extra_days = [] }",
        )
        with stage.running():
            stage.wait_for_state(State.LIVE)


class DeafTransport:
    """Takes nothing, says nothing."""

    aborted = False

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool) -> int:
        assert want_write
        time.sleep(0.005)
        return StreamResult.STREAM_IDLE

    def send(self, data: bytearray) -> int:
        return 0

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def test_a_socket_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ws://127.0.0.1:9", "send_timeout_s = 0.2")
    transport = DeafTransport()
    link = Link(stage.link_parts(), transport, connection_epoch=1)
    ending = link.serve(lambda: True)
    assert ending is not None and ending.reason is Reason.SEND_BLOCKED
    assert transport.aborted


def test_a_frame_that_dribbles_is_cut_off(tmp_path: Path) -> None:
    first = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        if first.is_set():
            beating(peer)
            return
        first.set()
        for byte in server_frame(BINARY, bytes(100)):
            if peer.stopping.wait(0.05):
                return
            peer.send(bytes([byte]))

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "frame_deadline_s = 0.3")
        with stage.running():
            stage.wait_for_state(State.RECONNECTING, Reason.SLOW_FRAME)
    assert stage.counter("slow_frames") == 1


def test_split_and_fragmented_messages_arrive_whole(tmp_path: Path) -> None:
    payload = bytes(i % 256 for i in range(5000))
    data = server_frame(BINARY, payload[:3000], final=False) + server_frame(
        CONTINUATION, payload[3000:]
    )

    def script(peer: Peer) -> None:
        peer.upgrade()
        for start in range(0, len(data), 700):
            peer.send(data[start : start + 700])
            peer.stopping.wait(0.005)
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            wait_for(lambda: stage.messages() == [payload], "the message")


def test_what_arrives_in_another_mode_is_asked_for_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MODES_SETTLE_NS", 100_000_000)
    heard: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        heard.extend(peer.receive() for _ in range(4))
        beating(peer)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        row = confirmed_rows(stage.attach(SegmentKind.CONFIRMED))[1]
        row["instrument_token"], row["connection_epoch"], row["mode"] = 884737, 1, Mode.QUOTE
        with stage.running():
            wait_for(lambda: len(heard) == 4, "a second subscription")
    assert commands_of(heard)[2:] == [
        {"a": "subscribe", "v": [884737]},
        {"a": "mode", "v": ["full", [884737]]},
    ]
    assert stage.counter("resubscriptions") == 1
