"""What silence means on a live connection: pinged, stalled, quiet, or no news at all."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from pathlib import Path

from pipeline.core.enums import Mode, Reason, State
from pipeline.planning.liveness import QUIET_PATIENCE
from tests.ext.frames import PING, PONG, server_frame
from tests.feed.link_scripts import HEARTBEAT, TICK, beating, commands_of
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for


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
            wait_for(lambda: len(commands_of(heard)) == 5, "second subscription")
            resumed.set()
            wait_for(lambda: stage.states().count((State.LIVE, Reason.FIRST_DATA)) == 2, "LIVE")
        assert server.connections == 1
    said = commands_of(heard)
    assert said[2] == {"a": "unsubscribe", "v": said[0]["v"]}  # or it would count twice
    assert said[3:5] == said[:2]
    assert stage.counter("resubscriptions") == 1


def test_a_server_that_answers_with_its_snapshot_is_never_given_up(tmp_path: Path) -> None:
    quiet_after_s = 0.5
    heard: list[tuple[int, bytes]] = []

    def script(peer: Peer) -> None:
        """Beat, and answer each change of mode with one tick, as an exchange at lunch."""
        peer.upgrade()
        peer.sock.settimeout(0.02)
        while not peer.stopping.is_set():
            peer.send(HEARTBEAT)
            with contextlib.suppress(TimeoutError):
                heard.append(peer.receive())
                if any(word["a"] == "mode" for word in commands_of(heard[-1:])):
                    peer.send(TICK)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, f"quiet_after_s = {quiet_after_s}")
        with stage.running():
            wait_for(lambda: stage.counter("resubscriptions") == 1, "question")
            over_s = time.monotonic() + 2 * QUIET_PATIENCE * quiet_after_s
            wait_for(lambda: time.monotonic() > over_s, "twice as long as it has to answer")
            assert stage.state == (State.QUIET, Reason.NO_TICKS)
        assert server.connections == 1
    assert State.RECONNECTING not in [state for state, _ in stage.states()]
    once = ["subscribe", "mode"]
    assert [word["a"] for word in commands_of(heard)] == [*once, "unsubscribe", *once]


def test_a_server_that_answers_nothing_is_left_once(tmp_path: Path) -> None:
    numbers = itertools.count()

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        beating(peer, tick=next(numbers) > 0)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, "quiet_after_s = 1.0")
        with stage.running():
            stage.wait_for_state(State.RECONNECTING, Reason.NO_TICKS)
            live = (State.LIVE, Reason.FIRST_DATA)
            wait_for(lambda: stage.states().count(live) == 2, "ticks of another connection")
            frames = stage.counter("frames_out")
            wait_for(lambda: stage.counter("frames_out") > frames + 100, "more of them")
        assert server.connections == 2
    reasons = [reason for state, reason in stage.states() if state is State.RECONNECTING]
    assert reasons == [Reason.NO_TICKS]
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
