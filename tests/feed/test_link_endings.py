"""How a live connection ends: told once and with its reason, by either side or by a deadline."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from ext.websocket import FrameReader, StreamResult
from pipeline.core.enums import Mode, Reason, State
from pipeline.feed.link import Link
from tests.ext.frames import BINARY, CLOSE, PING, TEXT, close_frame, server_frame
from tests.feed.link_scripts import TICK, beating
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for


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


class DeafTransport:
    """Takes nothing, says nothing."""

    aborted = False

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
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
