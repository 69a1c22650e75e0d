"""What is promised with the numbers of the default config. Slow by nature.

How many seconds it takes, `bench stall` and `bench token` say.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from pipeline.core.enums import Reason, State
from tests.ext.frames import BINARY, TEXT, server_frame
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage, wait_for
from tests.sim.harness import simulator

CANARY = "canary-token-77a0"
HEARTBEAT = server_frame(BINARY, b"\x00")
TICK = server_frame(BINARY, b"\x00\x01\x00\x08" + bytes(8))
LIVE = (State.LIVE, Reason.FIRST_DATA)
RINGS = "[rings]\nframe_bytes = 4194304\nseconds = 60"


@pytest.mark.full
def test_a_silent_stall_is_found_and_healed(tmp_path: Path) -> None:
    with simulator(tmp_path, "--instruments", "50", "--interval", "0.1") as running:
        stage = Stage(tmp_path / "stage", f"ws://127.0.0.1:{running.port}", RINGS)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            running.command("mute", seconds=60)
            wait_for(lambda: stage.states().count(LIVE) == 2, "LIVE again")
    states = [state for state, _ in stage.states()]
    assert states.count(State.STALLED) == 1
    assert states.index(State.LIVE) < states.index(State.STALLED) < len(states) - 1


@pytest.mark.full
def test_a_sparse_but_beating_feed_gives_no_alarm_in_30_s(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(TICK)
        for second in range(40):
            if peer.stopping.wait(1.0):
                return
            peer.send(TICK if second % 8 == 7 else HEARTBEAT)

    with serving(script) as server:
        stage = Stage(tmp_path, server.url)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            end_s = time.monotonic() + 30
            wait_for(lambda: time.monotonic() >= end_s, "thirty seconds", patience_s=40)
            assert stage.state == LIVE
    assert {state for state, _ in stage.states()}.isdisjoint(
        {State.QUIET, State.STALLED, State.RECONNECTING}
    )
    assert stage.counter("pings_out") == 0


@pytest.mark.full
def test_a_new_token_is_live_without_a_restart(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("yesterday")
    secret.chmod(0o600)
    with simulator(tmp_path, "--instruments", "50", "--interval", "0.1") as running:
        url = f"ws://127.0.0.1:{running.port}"
        stage = Stage(tmp_path / "stage", url, RINGS, f'access_token = "file:{secret}"')
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED)
            end_s = time.monotonic() + 5
            wait_for(lambda: time.monotonic() >= end_s, "five seconds")
            told = running.command("stat")  # by the exchange's own count
            assert (told["sessions"], told["handshakes_refused"]) == (1, 1)
            secret.write_text("demo")
            stage.wait_for_state(State.LIVE)
            told = running.command("stat")
            assert (told["sessions"], told["handshakes_refused"]) == (2, 1)


def test_no_log_line_and_no_state_holds_the_token(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At debug level, through refusals, a reset, and servers that echo the token."""
    answers = iter([403, 500, 0, 1, 2])

    def script(peer: Peer) -> None:
        request = peer.read_request()
        answer = next(answers, 2)
        if answer > 2:
            peer.refuse(answer, f"X-Echo: {CANARY}")
        elif answer == 0:
            peer.send(request)  # an answer that is the request itself
        else:
            peer.send(peer.upgrade_response())
            peer.send(server_frame(TEXT, b'{"type":"error","data":"bad ' + CANARY.encode() + b'"}'))
            peer.send(TICK)
            if answer == 2:
                peer.wait_for_end()

    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "token"
    secret.write_text(CANARY)
    secret.chmod(0o600)
    with serving(script) as server:
        stage = Stage(tmp_path, server.url, account=f'access_token = "file:{secret}"')
        with stage.running():
            stage.wait_for_state(State.AUTH_EXPIRED)
            secret.write_text(f"{CANARY}-2")
            wait_for(lambda: stage.counter("server_errors") == 2, "two texts")
    shown = capfd.readouterr()
    assert CANARY not in shown.out + shown.err
    told = caplog.text
    assert CANARY not in told
    assert "the server says: 'bad ***'" in told
    assert "AUTH_EXPIRED" in told
