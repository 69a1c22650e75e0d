"""The feed's state machine: what follows each ending, and who is waited for."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import FrameKind, Reason, State
from pipeline.feed import link
from pipeline.feed.process import run_feed
from tests.ext.frames import BINARY, CLOSE, close_frame, server_frame
from tests.feed.authority import Authority
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for

TICK = server_frame(BINARY, b"\x00\x01\x00\x08" + bytes(8))
LIVE = (State.LIVE, Reason.FIRST_DATA)


def steady(peer: Peer) -> None:
    """Upgrade, and send a tick each 20 ms until the client or the test ends."""
    peer.upgrade(TICK)
    while not peer.stopping.wait(0.02):
        peer.send(TICK)


def token_stage(folder: Path, url: str, token: str = "first-token") -> tuple[Stage, Path]:
    """Return a stage whose token lies in a file, and that file."""
    secret = folder / "token"
    secret.write_text(token)
    secret.chmod(0o600)
    return Stage(folder, url, account=f'access_token = "file:{secret}"'), secret


def test_a_refused_connection_is_tried_again_with_growing_steps(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stage = Stage(tmp_path, f"ws://127.0.0.1:{port}")
    with stage.running(draw=lambda: 0.5):
        wait_for(lambda: stage.counter("handshakes") >= 4, "four attempts")
    told = [f for f in stage.poll() if f["state"] == State.RECONNECTING]
    assert {f["reason"] for f in told} == {Reason.CONNECT_FAILED}
    assert stage.counter("handshake_failures") >= 3
    # Half of 20, 40, 80 ms: measured from a failure to the next attempt, so never less.
    tries = [f for f in stage.poll() if f["state"] == State.CONNECTING]
    for step, (failed, again) in enumerate(zip(told, tries[1:], strict=False)):
        pause_ns = again["receive_mono_ns"] - failed["receive_mono_ns"]
        assert pause_ns >= 0.5 * min(0.02 * 2**step, 0.2) * NS_PER_S * 0.9


def test_each_handshake_raises_the_epoch_and_a_successor_goes_on_from_it(tmp_path: Path) -> None:
    with serving(steady) as server:
        stage = Stage(tmp_path, server.url)
        for _ in range(3):
            seen = stage.states().count(LIVE)
            with stage.running():
                wait_for(lambda seen=seen: stage.states().count(LIVE) > seen, "LIVE")
    live = [f["connection_epoch"] for f in stage.poll() if f["state"] == State.LIVE]
    assert live == [1, 2, 3]
    sequences = [f["sequence"] for f in stage.poll()]
    assert sequences == list(range(len(sequences))), "a successor continues at the tail"
    assert int(stage.page.head["generation"]) == 3
    assert stage.counter("handshakes") == 3


def test_messages_lie_between_the_states_of_their_epoch(tmp_path: Path) -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        if ended.is_set():
            steady(peer)
            return
        peer.upgrade(TICK)
        ended.set()
        for _ in range(20):
            peer.send(TICK)
        peer.reset()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            wait_for(lambda: stage.counter("reconnects") == 1, "reconnect")
            stage.wait_for_state(State.LIVE)
    epochs = [f["connection_epoch"] for f in stage.poll()]
    assert epochs == sorted(epochs)
    for frame in stage.poll():
        if frame["kind"] == FrameKind.MESSAGE:
            assert frame["connection_epoch"] in (1, 2)


# ---- tokens -------------------------------------------------------------------------


def test_a_rejected_token_makes_no_second_handshake_until_it_changes(tmp_path: Path) -> None:
    valid = b"access_token=second-token"

    def script(peer: Peer) -> None:
        if valid in peer.read_request():
            steady(peer)
        else:
            peer.refuse(403)

    with serving(script) as server:
        stage, secret = token_stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)
            looked_until_s = time.monotonic() + 3.5  # it looks each second
            wait_for(lambda: time.monotonic() > looked_until_s, "three looks at the file")
            assert server.connections == 1
            assert stage.account.rejected_identity != 0
            new = tmp_path / "token.new"
            new.write_text("second-token")
            new.chmod(0o600)
            new.replace(secret)
            stage.wait_for_state(State.LIVE)
        assert server.connections == 2
    states = stage.states()
    assert (State.CONNECTING, Reason.TOKEN_CHANGED) in states
    assert stage.counter("last_http_status") == 101


def test_another_feed_of_the_key_heeds_the_rejection(tmp_path: Path) -> None:
    with serving(steady) as server:
        stage, secret = token_stage(tmp_path, server.url)
        reference = stage.config.secret(stage.plan.account)
        stage.account.rejected_identity = reference.identity()
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED)
            assert server.connections == 0
            secret.write_text("another-token")
            stage.wait_for_state(State.LIVE)


def test_a_rejection_is_heeded_that_comes_while_waiting_for_the_turn(tmp_path: Path) -> None:
    with serving(steady) as server:
        stage, secret = token_stage(tmp_path, server.url)
        turn_ns = monotonic_ns() + NS_PER_S
        stage.account.defer_handshakes(turn_ns)
        with stage.running():
            wait_for(lambda: stage.counter("next_attempt_mono_ns") == turn_ns, "the wait")
            reference = stage.config.secret(stage.plan.account)
            stage.account.rejected_identity = reference.identity()
            stage.wait_for_state(State.AUTH_EXPIRED)
            assert server.connections == 0
            secret.write_text("another-token")
            stage.wait_for_state(State.LIVE)


def test_a_secret_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    with serving(steady) as server:
        stage, secret = token_stage(tmp_path, server.url)
        secret.unlink()
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED)
            secret.write_text("token")
            secret.chmod(0o600)
            stage.wait_for_state(State.LIVE)


# ---- limits -------------------------------------------------------------------------


def test_a_limit_holds_for_every_feed_of_the_key(tmp_path: Path) -> None:
    answered = threading.Event()

    def script(peer: Peer) -> None:
        if answered.is_set():
            steady(peer)
        else:
            answered.set()
            peer.refuse(429, "Retry-After: 1")

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        began_ns = monotonic_ns()
        with stage.running():
            stage.wait_for_state(State.LIMITED, Reason.RATE_LIMITED)
            assert stage.account.reserve_handshake(monotonic_ns(), 0) > 0
            stage.wait_for_state(State.LIVE)
        assert monotonic_ns() - began_ns >= NS_PER_S
        assert server.connections == 2
    told = next(f for f in stage.poll() if f["state"] == State.LIMITED)
    assert told["detail"] == 429


def test_handshakes_of_one_key_keep_their_distance(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.reset()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url, account="handshake_interval_s = 0.3")
        with stage.running(draw=lambda: 0.0):
            wait_for(lambda: stage.counter("handshakes") >= 3, "three handshakes")
    tries = [f["receive_mono_ns"] for f in stage.poll() if f["state"] == State.CONNECTING]
    assert all(b - a >= 0.29 * NS_PER_S for a, b in zip(tries, tries[1:], strict=False))


@pytest.mark.parametrize(("code", "least_s"), [(1012, 1.0), (1013, 0.16)])
def test_close_codes_that_ask_for_time_get_it(code: int, least_s: float, tmp_path: Path) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        if closed.is_set():
            steady(peer)
            return
        peer.upgrade(TICK)
        peer.receive()
        peer.receive()
        closed.set()
        peer.send(close_frame(code))
        peer.wait_for_end()

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running(draw=lambda: 0.8 if code == 1013 else 0.0):
            stage.wait_for_state(State.RECONNECTING, Reason.CLOSE_FRAME)
            wait_for(lambda: stage.counter("handshakes") == 2, "second handshake")
    frames = stage.poll()
    ended = next(f for f in frames if f["state"] == State.RECONNECTING)
    again = [f for f in frames if f["state"] == State.CONNECTING][1]
    pause_ns = again["receive_mono_ns"] - ended["receive_mono_ns"]
    assert pause_ns >= least_s * 0.98 * NS_PER_S


# ---- stopping -----------------------------------------------------------------------


def test_stopping_is_heard_in_the_handshake(tmp_path: Path) -> None:
    with serving(Peer.wait_for_end) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            wait_for(lambda: server.connections == 1, "connection")
    assert stage.state == (State.CLOSED, Reason.DRAINED)


def test_stopping_is_heard_in_a_pause(tmp_path: Path) -> None:
    with serving(lambda peer: peer.refuse(429)) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIMITED)
    assert stage.state == (State.CLOSED, Reason.DRAINED)


def test_the_heartbeat_goes_on_in_every_state(tmp_path: Path) -> None:
    def beats(stage: Stage) -> None:
        before = int(stage.page.head["heartbeat_mono_ns"])
        wait_for(lambda: int(stage.page.head["heartbeat_mono_ns"]) > before, "heartbeat")

    with serving(Peer.wait_for_end) as server:
        stage = Stage(tmp_path / "handshake", server.url)
        with stage.running():
            wait_for(lambda: server.connections == 1, "connection")
            beats(stage)
    with serving(lambda peer: peer.refuse(403)) as server:
        stage = Stage(tmp_path / "auth", server.url)
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED)
            beats(stage)
    with serving(steady) as server:
        stage = Stage(tmp_path / "live", server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            beats(stage)


def test_a_signal_that_does_not_interrupt_an_idle_wait_is_heard_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it comes just before the wait: to another thread, so that the wait goes on."""
    goodbyes: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        opcode, payload = peer.receive()
        while opcode != CLOSE:
            opcode, payload = peer.receive()
        goodbyes.append(payload)
        peer.send(close_frame(1000))

    def signal_when_idle() -> None:
        stage.wait_for_state(State.LIVE)
        beat = int(stage.page.head["heartbeat_mono_ns"])
        wait_for(lambda: int(stage.page.head["heartbeat_mono_ns"]) > beat, "an idle wait")
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    monkeypatch.setattr(link, "IDLE_WAIT_NS", 3600 * NS_PER_S)
    before = signal.getsignal(signal.SIGTERM)
    with serving(script) as server:
        stage = Stage(tmp_path, server.url, feed=SILENCE)
        helper = threading.Thread(target=signal_when_idle)
        helper.start()
        try:
            assert run_feed(stage.config, stage.paths, stage.plan) == 0
        finally:
            signal.signal(signal.SIGTERM, before)
            wakeup = signal.set_wakeup_fd(-1)
            helper.join()
    os.close(wakeup)
    assert goodbyes == [b"\x03\xe8"]


SILENCE = "ping_after_s = 250.0\nstall_after_s = 500.0\nquiet_after_s = 250.0"


# ---- TLS ----------------------------------------------------------------------------


def test_the_same_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    last = server_frame(BINARY, bytes(100_000))
    done = threading.Event()

    def script(peer: Peer) -> None:
        if done.is_set():
            steady(peer)
            return
        peer.upgrade(TICK)
        peer.receive()
        peer.receive()
        done.set()
        peer.send(last)
        peer.sock.close()

    with serving(script, authority.server_context()) as server:
        account = f'ca_file = "{authority.ca_file}"\naccess_token = "env:STAGE_TOKEN"'
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STAGE_TOKEN", "tls-token")
            stage = Stage(tmp_path / "stage", server.url, account=account, feed=BIG)
            with stage.running():
                stage.wait_for_state(State.RECONNECTING, Reason.EOF)
                stage.wait_for_state(State.LIVE)
    assert bytes(100_000) in stage.messages()


BIG = "[rings]\nframe_bytes = 1048576"
