"""A feed on the simulated exchange: every fault is told, healed, and costs no other message.

The judge is the exchange's truth log: what it handed to the kernel, frame by frame, against what
lies in the frame ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.enums import FrameKind, Mode, Reason, State
from pipeline.sim.truth import read_truth
from tests.feed.stage import Frame, Stage, wait_for
from tests.sim.harness import Simulator, simulator, split

FEED = "ping_after_s = 0.5\nstall_after_s = 0.9\nframe_deadline_s = 1.0\n"
RINGS = "[rings]\nframe_bytes = 4194304\nseconds = 60"
LIVE = (State.LIVE, Reason.FIRST_DATA)


@contextmanager
def exchange(folder: Path, *arguments: str) -> Iterator[tuple[Simulator, Stage]]:
    """Run an exchange with quick frames, and make a stage for a feed on it."""
    options = ["--interval", "0.05", "--instruments", "50", "--truth", str(folder / "truth")]
    with simulator(folder, *options, *arguments) as running:
        stage = Stage(folder / "stage", f"ws://127.0.0.1:{running.port}", FEED + RINGS)
        yield running, stage


def live_count(stage: Stage) -> int:
    return stage.states().count(LIVE)


def data_frames(stage: Stage, epoch: int) -> list[Frame]:
    return [
        f
        for f in stage.poll()
        if f["kind"] == FrameKind.MESSAGE
        and f["connection_epoch"] == epoch
        and len(f["payload"]) > 1
    ]


def sent(folder: Path) -> dict[int, list[list[tuple[int, int]]]]:
    """Return {session: frames of (token, low bits of the sequence)}, as the truth log has it."""
    sessions: dict[int, dict[int, list[tuple[int, int]]]] = {}
    for row in read_truth(folder / "truth"):
        frames = sessions.setdefault(int(row["session"]), {})
        packet = (int(row["instrument_token"]), int(row["sequence"]) & 0xFFF)
        frames.setdefault(int(row["frame"]), []).append(packet)
    return {n: [frames[k] for k in sorted(frames)] for n, frames in sessions.items()}


def received(frames: list[Frame]) -> list[list[tuple[int, int]]]:
    return [[(p.token, p.carried & 0xFFF) for p in split(f["payload"])] for f in frames]


def test_every_frame_that_was_sent_is_in_the_ring_in_order(tmp_path: Path) -> None:
    with exchange(tmp_path) as (_, stage), stage.running():
        wait_for(lambda: stage.counter("frames_out") > 40, "forty frames")
    assert stage.wire() == dict.fromkeys([408065, 884737, 256265], Mode.FULL)
    (frames,) = sent(tmp_path).values()
    assert received(data_frames(stage, 1)) == frames
    assert len(frames) > 20


HARMLESS: dict[str, dict[str, Any]] = {
    "split": {"seconds": 1},
    "merge": {"frames": 4, "seconds": 1},
    "dribble": {"seconds": 0.4, "gap_ms": 1},
    "delay": {"ms": 100},
    "fragmented": {"count": 5, "pieces": 4, "packets": 20},
    "ping_flood": {"count": 300},
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_the_protocol_allows_costs_nothing(fault: str, tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage), stage.running():
        stage.wait_for_state(State.LIVE)
        running.command(fault, **HARMLESS[fault])
        before = stage.counter("frames_out")
        wait_for(lambda: stage.counter("frames_out") > before + 30, "thirty more frames")
        running.command("calm")
    assert [state for state, _ in stage.states() if state == State.RECONNECTING] == []
    (frames,) = sent(tmp_path).values()
    got = received(data_frames(stage, 1))
    if fault == "fragmented":  # made frames are not logged as truth
        got = [frame for frame in got if frame in frames]
    assert got == frames


BROKEN: dict[str, tuple[dict[str, Any], set[Reason]]] = {
    "reset": ({}, {Reason.RESET}),
    "fin": ({}, {Reason.EOF}),
    "close": ({"code": 1001}, {Reason.CLOSE_FRAME}),
    "half_open": ({}, {Reason.STALL}),
    "mute": ({"seconds": 5}, {Reason.STALL}),
    "giant": ({}, {Reason.TOO_BIG}),
    "masked": ({}, {Reason.PROTOCOL_ERROR}),
    "reserved_bits": ({}, {Reason.PROTOCOL_ERROR}),
    "reserved_opcode": ({}, {Reason.PROTOCOL_ERROR}),
    "ping_flood": ({"count": 3000}, {Reason.PING_FLOOD}),
    "bad_text": ({"kind": "utf8"}, {Reason.BAD_UTF8}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_breaks_a_connection_is_told_and_healed(fault: str, tmp_path: Path) -> None:
    parameters, reasons = BROKEN[fault]
    with exchange(tmp_path) as (running, stage), stage.running():
        stage.wait_for_state(State.LIVE)
        running.command(fault, connection=0, **parameters)
        stage.wait_for_state(State.RECONNECTING)
        wait_for(lambda: live_count(stage) == 2, "a second LIVE")
    told = [Reason(f["reason"]) for f in stage.poll() if f["state"] == State.RECONNECTING]
    assert len(told) == 1 and told[0] in reasons
    first, second = sent(tmp_path).values()
    got = received(data_frames(stage, 1))
    assert got == first[: len(got)], "what came before the fault is whole and in order"
    assert received(data_frames(stage, 2)) == second
    assert stage.wire() == dict.fromkeys([408065, 884737, 256265], Mode.FULL)


@pytest.mark.parametrize("kind", ["json", "array"])
def test_bad_texts_keep_the_connection(kind: str, tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage), stage.running():
        stage.wait_for_state(State.LIVE)
        running.command("bad_text", kind=kind)
        wait_for(lambda: stage.counter("text_invalid") == 1, "an invalid text")
        before = stage.counter("frames_out")
        wait_for(lambda: stage.counter("frames_out") > before + 5, "more frames")
    assert stage.counter("reconnects") == 0


def test_lies_in_frames_are_none_of_the_feed_s_business(tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage), stage.running():
        stage.wait_for_state(State.LIVE)
        for fault in ("lying_count", "lying_length", "unknown_size", "trailing", "empty"):
            running.command(fault)
        before = stage.counter("frames_out")
        wait_for(lambda: stage.counter("frames_out") > before + 10, "more frames")
    assert stage.counter("reconnects") == 0


def test_quiet_heartbeats_are_told_and_end(tmp_path: Path) -> None:
    options = FEED + "quiet_after_s = 0.5\n" + RINGS
    with simulator(tmp_path, "--interval", "0.05", "--instruments", "50") as running:
        stage = Stage(tmp_path / "stage", f"ws://127.0.0.1:{running.port}", options)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            running.command("quiet", seconds=1.2)
            stage.wait_for_state(State.QUIET, Reason.NO_TICKS)
            wait_for(lambda: live_count(stage) == 2, "LIVE again")
    assert stage.counter("reconnects") == 0
    assert stage.counter("resubscriptions") == 1


def test_a_revoked_token_stops_handshakes_until_it_is_renewed(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("demo")
    secret.chmod(0o600)
    with simulator(tmp_path, "--interval", "0.05", "--instruments", "50") as running:
        account = f'access_token = "file:{secret}"'
        url = f"ws://127.0.0.1:{running.port}"
        stage = Stage(tmp_path / "stage", url, FEED + RINGS, account)
        with stage.running():
            stage.wait_for_state(State.LIVE)
            running.command("rotate_token", key="demo", token="tomorrow")
            running.command("reset")
            stage.wait_for_state(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)
            handshakes = stage.counter("handshakes")
            secret.write_text("tomorrow")
            wait_for(lambda: live_count(stage) == 2, "LIVE with the new token")
            assert stage.counter("handshakes") == handshakes + 1


def test_refusals_are_counted_and_waited_out(tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage):
        running.command("refuse", status=503, count=2)
        with stage.running():
            stage.wait_for_state(State.LIVE)
    assert stage.counter("handshake_failures") == 2
    told = [f for f in stage.poll() if f["state"] == State.RECONNECTING]
    assert [(f["reason"], f["detail"]) for f in told] == [(Reason.HTTP_STATUS, 503)] * 2


def test_a_slow_handshake_is_cut_at_its_deadline(tmp_path: Path) -> None:
    with simulator(tmp_path, "--interval", "0.05", "--instruments", "50") as running:
        running.command("slow_handshake", gap_ms=200)
        url = f"ws://127.0.0.1:{running.port}"
        stage = Stage(tmp_path / "stage", url, FEED + "connect_timeout_s = 0.5\n" + RINGS)
        with stage.running():
            stage.wait_for_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
            stage.wait_for_state(State.LIVE)


def test_stamps_grow_and_lie_between_sending_and_now(tmp_path: Path) -> None:
    with exchange(tmp_path) as (_, stage), stage.running():
        wait_for(lambda: stage.counter("frames_out") > 20, "twenty frames")
    frames = data_frames(stage, 1)
    stamps = [f["receive_ts_ns"] for f in frames]
    assert stamps == sorted(stamps)
    truth = read_truth(tmp_path / "truth")
    firsts = np.unique(truth["frame"], return_index=True)[1]
    sent_ns = truth["send_ts_ns"][firsts]
    # The log's time is of the end of send(): a reader on another core may be a little earlier.
    assert all(r > s - 50_000_000 for r, s in zip(stamps, sent_ns, strict=True))
