"""Verdicts on silence and on missing ticks, over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.planning.liveness import (
    PROBE_INTERVAL_NS,
    LivenessPolicy,
    Quietness,
    Verdict,
    judge_quiet,
    judge_silence,
)

POLICY = LivenessPolicy(
    ping_after_ns=3 * NS_PER_S, stall_after_ns=4500 * NS_PER_MS, quiet_after_ns=10 * NS_PER_S
)
START = 1_000 * NS_PER_S


def silence(now_s: float, last_byte_s: float, last_ping_s: float | None = None) -> Verdict:
    return judge_silence(
        POLICY,
        now_ns=START + int(now_s * NS_PER_S),
        last_byte_ns=START + int(last_byte_s * NS_PER_S),
        last_ping_ns=0 if last_ping_s is None else START + int(last_ping_s * NS_PER_S),
    )


def quiet(now_s: float, last_data_s: float, last_probe_s: float | None = None) -> Quietness:
    return judge_quiet(
        POLICY,
        now_ns=START + int(now_s * NS_PER_S),
        last_data_ns=START + int(last_data_s * NS_PER_S),
        last_probe_ns=0 if last_probe_s is None else START + int(last_probe_s * NS_PER_S),
    )


def test_silence_is_pinged_once_and_then_is_a_stall() -> None:
    assert silence(2.9, 0) is Verdict.NONE
    assert silence(3.0, 0) is Verdict.PING
    assert silence(3.1, 0, last_ping_s=3.0) is Verdict.NONE
    assert silence(4.4, 0, last_ping_s=3.0) is Verdict.NONE
    assert silence(4.5, 0, last_ping_s=3.0) is Verdict.STALLED


def test_an_answer_ends_the_silence_and_allows_another_ping() -> None:
    assert silence(5.0, 3.1, last_ping_s=3.0) is Verdict.NONE
    assert silence(6.1, 3.1, last_ping_s=3.0) is Verdict.PING


def test_a_process_that_was_stopped_meanwhile_finds_the_stall_at_once() -> None:
    assert silence(60.0, 0) is Verdict.STALLED


@given(gap_s=st.floats(0, 2.99))
def test_a_heartbeat_each_three_seconds_never_alarms(gap_s: float) -> None:
    assert silence(100 + gap_s, 100) is Verdict.NONE


def test_missing_ticks_are_told_probed_once_and_then_given_up() -> None:
    assert quiet(9.9, 0) is Quietness.NONE
    assert quiet(10.0, 0) is Quietness.PROBE
    assert quiet(10.1, 0, last_probe_s=10.0) is Quietness.QUIET
    assert quiet(29.9, 0, last_probe_s=10.0) is Quietness.QUIET
    assert quiet(30.0, 0, last_probe_s=10.0) is Quietness.GIVE_UP


def test_a_probe_that_was_answered_is_not_repeated_soon() -> None:
    # The answer came at 10.5; the instruments are illiquid, so nothing else did.
    assert quiet(20.5, 10.5, last_probe_s=10.0) is Quietness.QUIET
    assert quiet(200.0, 10.5, last_probe_s=10.0) is Quietness.QUIET
    later_s = 10.0 + PROBE_INTERVAL_NS / NS_PER_S
    assert quiet(later_s, 10.5, last_probe_s=10.0) is Quietness.PROBE


def test_a_late_question_leaves_the_server_time_to_answer() -> None:
    # Illiquid instruments for five minutes: the next question comes long after the last tick.
    assert quiet(310.0, 10.5, last_probe_s=10.0) is Quietness.PROBE
    assert quiet(310.1, 10.5, last_probe_s=310.0) is Quietness.QUIET
    assert quiet(329.9, 10.5, last_probe_s=310.0) is Quietness.QUIET
    assert quiet(330.0, 10.5, last_probe_s=310.0) is Quietness.GIVE_UP


@pytest.mark.parametrize("answers", [True, False])
def test_only_a_server_that_answers_no_question_is_given_up(*, answers: bool) -> None:
    """An hour of heartbeats alone; each question is answered by the snapshot a second later."""
    data_s, probe_s, questions, told = 0.0, None, [], []
    for now_s in (step / 10 for step in range(36_000)):
        if answers and questions and now_s >= questions[-1] + 1:
            data_s = max(data_s, questions[-1] + 1)
        verdict = quiet(now_s, data_s, probe_s)
        told.append(verdict)
        if verdict is Quietness.PROBE:
            probe_s = now_s
            questions.append(now_s)
        if verdict is Quietness.GIVE_UP:
            break
    if answers:
        assert Quietness.GIVE_UP not in told
        assert questions == [10.0 + 300.0 * n for n in range(12)]
    else:
        assert questions == [10.0]
        assert (now_s, verdict) == (30.0, Quietness.GIVE_UP)


@given(gap_s=st.floats(0, 9.99), probe_s=st.none() | st.floats(0, 100))
def test_sparse_ticks_never_alarm(gap_s: float, probe_s: float | None) -> None:
    assert quiet(100 + gap_s, 100, last_probe_s=probe_s) is Quietness.NONE
