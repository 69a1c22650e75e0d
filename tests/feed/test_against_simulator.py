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
    with exchange(tmp_path) as (_, stage), stage.running(patient_end=True):
        wait_for(lambda: stage.counter("frames_out") > 40, "forty frames")
    assert stage.wire() == dict.fromkeys([408065, 884737, 256265], Mode.FULL)
    (frames,) = sent(tmp_path).values()
    assert received(data_frames(stage, 1)) == frames
    assert len(frames) > 20
    demand_true_stamps(tmp_path, data_frames(stage, 1))


def demand_true_stamps(folder: Path, frames: list[Frame]) -> None:
    stamps = [f["receive_ts_ns"] for f in frames]
    assert stamps == sorted(stamps)
    truth = read_truth(folder / "truth")
    firsts = np.unique(truth["frame"], return_index=True)[1]
    sent_ns = truth["send_ts_ns"][firsts]
    # The log's time is of the end of send(): a reader on another core may be a little earlier.
    assert all(r > s - 50_000_000 for r, s in zip(stamps, sent_ns, strict=True))


HARMLESS: dict[str, dict[str, Any]] = {
    "split": {"seconds": 1},
    "merge": {"frames": 4, "seconds": 1},
    "dribble": {"seconds": 0.4, "gap_ms": 1},
    "delay": {"ms": 100},
    "fragmented": {"count": 5, "pieces": 4, "packets": 20},
    "ping_flood": {"count": 300},
}


def test_what_the_protocol_allows_costs_nothing(tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage), stage.running(patient_end=True):
        stage.wait_for_state(State.LIVE)
        for fault, parameters in HARMLESS.items():
            running.command(fault, **parameters)
            before = stage.counter("frames_out")
            wait_for(lambda: stage.counter("frames_out") > before + 15, f"frames after {fault}")  # noqa: B023
            running.command("calm")
    assert State.RECONNECTING not in [state for state, _ in stage.states()]
    (frames,) = sent(tmp_path).values()
    assert received(data_frames(stage, 1)) == frames


BROKEN: dict[str, tuple[dict[str, Any], Reason]] = {
    "reset": ({}, Reason.RESET),
    "fin": ({}, Reason.EOF),
    "close": ({"code": 1001}, Reason.CLOSE_FRAME),
    "half_open": ({}, Reason.STALL),
    "mute": ({"seconds": 5}, Reason.STALL),
    "giant": ({}, Reason.TOO_BIG),
    "masked": ({}, Reason.PROTOCOL_ERROR),
    "reserved_bits": ({}, Reason.PROTOCOL_ERROR),
    "reserved_opcode": ({}, Reason.PROTOCOL_ERROR),
    "ping_flood": ({"count": 3000}, Reason.PING_FLOOD),
    "bad_text": ({"kind": "utf8"}, Reason.BAD_UTF8),
}


def test_what_breaks_a_connection_is_told_and_healed(tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage), stage.running(patient_end=True):
        stage.wait_for_state(State.LIVE)
        for number, (fault, (parameters, _)) in enumerate(BROKEN.items(), 1):
            running.command(fault, connection=0, **parameters)
            wait_for(lambda: live_count(stage) == number + 1, f"LIVE after {fault}")  # noqa: B023
    told = [f for f in stage.poll() if f["state"] == State.RECONNECTING]
    sessions = list(sent(tmp_path).values())
    assert len(told) == len(BROKEN) == len(sessions) - 1
    for (fault, (_, reason)), ending, frames in zip(BROKEN.items(), told, sessions, strict=False):
        assert ending["reason"] == reason, fault
        got = received(data_frames(stage, ending["connection_epoch"]))
        assert got == frames[: len(got)], f"before {fault}: whole, and in order"
        assert got, fault
    assert received(data_frames(stage, told[-1]["connection_epoch"] + 1)) == sessions[-1]
    assert stage.wire() == dict.fromkeys([408065, 884737, 256265], Mode.FULL)


def test_bad_contents_keep_the_connection(tmp_path: Path) -> None:
    texts = ["json", "array", "number", "null", "nested", "unknown", "no_type", "no_data", "empty"]
    lies = ["lying_count", "lying_length", "unknown_size", "trailing", "empty"]
    with exchange(tmp_path) as (running, stage), stage.running(patient_end=True):
        stage.wait_for_state(State.LIVE)
        for kind in texts:
            running.command("bad_text", kind=kind)
        for fault in lies:
            running.command(fault)
        # All but no_data, which is an order of a kind.
        wait_for(lambda: stage.counter("text_invalid") == len(texts) - 1, "invalid texts")
        before = stage.counter("frames_out")
        wait_for(lambda: stage.counter("frames_out") > before + 10, "more frames")
    assert stage.counter("reconnects") == 0
    assert stage.counter("orders_out") == 1


def test_quiet_heartbeats_are_told_and_end(tmp_path: Path) -> None:
    options = FEED + "quiet_after_s = 0.5\n" + RINGS
    with simulator(tmp_path, "--interval", "0.05", "--instruments", "50") as running:
        stage = Stage(tmp_path / "stage", f"ws://127.0.0.1:{running.port}", options)
        with stage.running(patient_end=True):
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
        with stage.running(patient_end=True):
            stage.wait_for_state(State.LIVE)
            running.command("rotate_token", key="demo", token="tomorrow")
            running.command("reset")
            stage.wait_for_state(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)
            before = running.command("stat")
            secret.write_text("tomorrow")
            wait_for(lambda: live_count(stage) == 2, "LIVE with the new token")
            after = running.command("stat")
            assert after["sessions"] == before["sessions"] + 1
            assert after["handshakes_refused"] == before["handshakes_refused"] == 1


def test_refusals_are_counted_and_waited_out(tmp_path: Path) -> None:
    with exchange(tmp_path) as (running, stage):
        running.command("refuse", status=503, count=2)
        with stage.running(patient_end=True):
            stage.wait_for_state(State.LIVE)
    assert stage.counter("handshake_failures") == 2
    told = [f for f in stage.poll() if f["state"] == State.RECONNECTING]
    assert [(f["reason"], f["detail"]) for f in told] == [(Reason.HTTP_STATUS, 503)] * 2


def test_a_slow_handshake_is_cut_at_its_deadline(tmp_path: Path) -> None:
    with simulator(tmp_path, "--interval", "0.05", "--instruments", "50") as running:
        running.command("slow_handshake", gap_ms=200)
        url = f"ws://127.0.0.1:{running.port}"
        stage = Stage(tmp_path / "stage", url, FEED + "connect_timeout_s = 0.5\n" + RINGS)
        with stage.running(patient_end=True):
            stage.wait_for_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
            stage.wait_for_state(State.LIVE)
