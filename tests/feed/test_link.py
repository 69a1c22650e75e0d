"""A live connection: what is read, said and counted while it lasts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ext.websocket import FrameReader, StreamResult
from pipeline.core.enums import Mode, Reason, SegmentKind, State
from pipeline.feed import link as link_module
from pipeline.feed.link import Link
from pipeline.shm.tables import confirmed_rows
from tests.ext.frames import BINARY, CONTINUATION, PING, PONG, TEXT, server_frame
from tests.feed.link_scripts import TICK, beating, commands_of
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for


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
        heard.extend(peer.receive() for _ in range(3))
        beating(peer)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        row = confirmed_rows(stage.attach(SegmentKind.CONFIRMED))[1]
        row["instrument_token"], row["connection_epoch"], row["mode"] = 884737, 1, Mode.QUOTE
        with stage.running():
            wait_for(lambda: len(heard) == 3, "the mode once more")
    assert commands_of(heard)[2:] == [{"a": "mode", "v": ["full", [884737]]}]
    assert stage.counter("resubscriptions") == 1


class NotingTransport:
    """Takes everything, says nothing, and notes for how long it might have read on."""

    def __init__(self) -> None:
        self.turns_ns: list[int] = []

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
        self.turns_ns.append(turn_ns)
        return StreamResult.STREAM_BUSY

    def send(self, data: bytearray) -> int:
        return len(data)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        raise AssertionError("nothing is wrong")


def test_only_a_live_feed_reads_on_for_long_without_the_interpreter(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ws://127.0.0.1:9")
    parts, transport = stage.link_parts(), NotingTransport()
    link = Link(parts, transport, connection_epoch=1)
    parts.status.enter(State.SUBSCRIBING, Reason.CONNECTED)
    goes = iter([True] * 5)

    def keep_going() -> bool:
        if len(transport.turns_ns) == 3:
            parts.status.enter(State.LIVE, Reason.FIRST_DATA)
        return next(goes, False)

    assert link.serve(keep_going) is None
    assert transport.turns_ns[1:5] == [link_module.WAIT_NS] * 2 + [link_module.IDLE_WAIT_NS] * 2
    assert transport.turns_ns[-1] == link_module.WAIT_NS  # what ends a drain is heard at once
