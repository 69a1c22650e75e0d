"""State changes and the clock, as others see them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Reason, State
from pipeline.feed import status as status_module
from pipeline.feed.status import FeedStatus
from tests.feed.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "ws://127.0.0.1:9")


def open_status(stage: Stage) -> FeedStatus:
    return stage.link_parts().status


def test_a_change_is_on_the_page_and_in_the_ring(stage: Stage) -> None:
    status = open_status(stage)
    assert status.begin_epoch() == 1
    status.enter(State.RECONNECTING, Reason.CLOSE_FRAME, 1001)
    assert stage.state == (State.RECONNECTING, Reason.CLOSE_FRAME)
    (told,) = stage.poll()
    assert (told["state"], told["reason"]) == (State.RECONNECTING, Reason.CLOSE_FRAME)
    assert (told["detail"], told["connection_epoch"]) == (1001, 1)
    assert stage.counter("connection_epoch") == 1


def test_the_same_state_for_the_same_reason_is_no_change(stage: Stage) -> None:
    status = open_status(stage)
    for reason in (Reason.STALL, Reason.STALL, Reason.EOF):
        status.enter(State.RECONNECTING, reason)
    assert [reason for _, reason in stage.states()] == [Reason.STALL, Reason.EOF]


def test_a_change_is_logged_with_its_number_and_note(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        open_status(stage).enter(State.LIMITED, Reason.RATE_LIMITED, 429, "next attempt in 9 s")
    assert caplog.messages == ["LIMITED (rate_limited 429): next attempt in 9 s"]


def test_a_step_of_the_wall_clock_is_told_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = open_status(stage)
    status.enter(State.LIVE, Reason.FIRST_DATA)
    status.beat(monotonic_ns())
    monkeypatch.setattr(status_module, "real_ns", lambda: real_ns() - 3600 * 10**9)
    for turn in range(20):
        status.beat(monotonic_ns() + turn * status_module.LOOK_NS)
    told = [f for f in stage.poll() if f["reason"] == Reason.CLOCK]
    assert [f["state"] for f in told] == [State.LIVE]
    assert -3601 * 10**9 < told[0]["detail"] < -3599 * 10**9


def test_a_beat_says_until_when_it_may_be_silent(stage: Stage) -> None:
    open_status(stage).beat(123, 456)
    assert int(stage.page.head["heartbeat_mono_ns"]) == 123
    assert int(stage.page.head["busy_until_mono_ns"]) == 456


def test_what_a_killed_predecessor_had_in_hand_counts_as_dropped(stage: Stage) -> None:
    status = open_status(stage)
    status.record["messages_in"] = 10
    status.record["frames_out"] = 6
    status.record["messages_own"] = 2
    for _ in range(2):
        status.take_over()
        assert stage.counter("messages_dropped") == 2
