"""Back-off decisions for every ending, step and draw."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, State
from pipeline.planning.backoff import BackoffPolicy, Ending, bound_ns, plan_pause

POLICY = BackoffPolicy(min_ns=NS_PER_S // 4, max_ns=30 * NS_PER_S, reset_ns=30 * NS_PER_S)

draws = st.floats(0, 1, exclude_max=True)
steps = st.integers(0, 10_000)
plain_reasons = st.sampled_from(
    [r for r in Reason if r not in (Reason.AUTH_REJECTED, Reason.RATE_LIMITED)]
)


@given(reason=plain_reasons, step=steps, draw=draws)
def test_a_pause_lies_within_the_bound_of_its_step(reason: Reason, step: int, draw: float) -> None:
    pause = plan_pause(POLICY, Ending(reason=reason), step=step, draw=draw)
    assert pause.state is State.RECONNECTING
    assert 0 <= pause.duration_ns <= bound_ns(POLICY, step) <= POLICY.max_ns
    assert pause.next_step == step + 1
    assert not pause.shared


def test_bounds_double_from_a_quarter_second_to_thirty() -> None:
    bounds = [bound_ns(POLICY, step) / NS_PER_S for step in range(9)]
    assert bounds == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


@given(step=steps, draw=draws)
def test_thirty_seconds_of_health_begin_anew(step: int, draw: float) -> None:
    ending = Ending(reason=Reason.RESET, healthy_ns=30 * NS_PER_S)
    pause = plan_pause(POLICY, ending, step=step, draw=draw)
    assert pause.duration_ns <= POLICY.min_ns
    assert pause.next_step == 1


@given(step=steps, draw=draws, healthy_ns=st.integers(0, 30 * NS_PER_S - 1))
def test_less_health_does_not(step: int, draw: float, healthy_ns: int) -> None:
    ending = Ending(reason=Reason.RESET, healthy_ns=healthy_ns)
    assert plan_pause(POLICY, ending, step=step, draw=draw).next_step == step + 1


@given(step=steps, draw=draws)
def test_a_rejected_token_is_not_waited_out(step: int, draw: float) -> None:
    ending = Ending(reason=Reason.AUTH_REJECTED, http_status=403)
    pause = plan_pause(POLICY, ending, step=step, draw=draw)
    assert (pause.state, pause.next_step) == (State.AUTH_EXPIRED, step)


@given(step=steps, draw=draws)
def test_a_limit_without_advice_takes_half_a_minute_to_five(step: int, draw: float) -> None:
    ending = Ending(reason=Reason.RATE_LIMITED, http_status=429)
    pause = plan_pause(POLICY, ending, step=step, draw=draw)
    assert pause.state is State.LIMITED
    assert 30 * NS_PER_S <= pause.duration_ns <= 300 * NS_PER_S
    assert pause.shared


@given(asked_s=st.floats(0, 1e9), draw=draws)
def test_retry_after_is_honoured_up_to_an_hour(asked_s: float, draw: float) -> None:
    ending = Ending(reason=Reason.RATE_LIMITED, http_status=429, retry_after_s=asked_s)
    pause = plan_pause(POLICY, ending, step=0, draw=draw)
    least_ns = int(min(asked_s, 3600) * NS_PER_S)
    assert least_ns <= pause.duration_ns <= least_ns + NS_PER_S


def test_an_unavailable_server_may_ask_for_time() -> None:
    ending = Ending(reason=Reason.HTTP_STATUS, http_status=503, retry_after_s=20.0)
    assert plan_pause(POLICY, ending, step=0, draw=0.5).duration_ns == 20 * NS_PER_S


@given(step=steps, draw=draws)
def test_a_service_restart_takes_one_to_five_seconds(step: int, draw: float) -> None:
    ending = Ending(reason=Reason.CLOSE_FRAME, close_code=1012)
    pause = plan_pause(POLICY, ending, step=step, draw=draw)
    assert NS_PER_S <= pause.duration_ns <= 5 * NS_PER_S


@given(step=steps)
def test_try_again_later_begins_at_the_fourth_step(step: int) -> None:
    ending = Ending(reason=Reason.CLOSE_FRAME, close_code=1013)
    pause = plan_pause(POLICY, ending, step=step, draw=0.999)
    assert pause.duration_ns > 3.9 * NS_PER_S
    assert pause.next_step == max(step, 4) + 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000])
def test_other_close_codes_are_plain_endings(code: int) -> None:
    ending = Ending(reason=Reason.CLOSE_FRAME, close_code=code)
    pause = plan_pause(POLICY, ending, step=0, draw=0.5)
    assert pause.duration_ns == POLICY.min_ns // 2
    assert ending.detail == code


def test_connections_that_drop_together_spread() -> None:
    ending = Ending(reason=Reason.RESET)
    pauses = {plan_pause(POLICY, ending, step=3, draw=i / 10).duration_ns for i in range(10)}
    assert len(pauses) == 10
