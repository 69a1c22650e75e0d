"""Silence: a connection that says nothing is found and replaced, one that only beats is left alone.

How long the healing takes, `bench stall` says; the long test has the default config's numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pipeline.core.enums import Reason, State
from tests.system.judge import Witness, control_of, judge, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]


def be_silent(make_run: Make, quiet_s: float, times: int, more: str) -> None:
    """Mute connection 0, let connection 1 only beat for so long, so often; 2 goes on as ever."""
    run = make_run(more=more)
    witness = Witness(run)
    run.start_and_wait()
    epoch = int(run.page(0)["connection_epoch"])
    with control_of(run) as control:
        control.command("mute", connection=0, seconds=3600)
        for _ in range(times):
            control.command("quiet", connection=1, seconds=quiet_s)
            began = time.monotonic()
            wait_for(lambda: run.state(1) is State.QUIET, "the sparse feed to be called QUIET")
            wait_for(lambda: run.state(1) is State.LIVE, "ticks to come again")
            assert time.monotonic() - began > quiet_s - 1
    assert int(run.page(0)["connection_epoch"]) == epoch + 1, "the silence was not found"
    wait_for(lambda: run.is_complete(0), "the connection to be back")
    run_dry(run, witness)
    assert run.stop() == 0
    witness.finish()
    (gap,) = witness.told("Gap")
    assert (gap["connection"], gap["reason"]) == (0, Reason.STALL)
    changes = [State(c["state"]) for c in witness.told("StateChange") if c["connection"] == 1]
    assert State.QUIET in changes
    assert {State.STALLED, State.RECONNECTING, State.CONNECTING}.isdisjoint(changes[1:])
    judge(run, witness)
    run.assert_nothing_left()


def test_silence_is_healed_and_a_sparse_feed_left_alone(make_run: Make) -> None:
    limits = "ping_after_s = 1.0\nstall_after_s = 1.5\nquiet_after_s = 1.2\n"
    be_silent(make_run, 3.0, 1, f"[feed]\n{limits}")


def test_heartbeats_that_answer_no_question_end_in_one_gap(make_run: Make) -> None:
    run = make_run(more="[feed]\nquiet_after_s = 1.0\n")
    witness = Witness(run)
    run.start_and_wait()
    epoch = int(run.page(1)["connection_epoch"])
    with control_of(run) as control:
        control.command("quiet", connection=1, seconds=3600)
        wait_for(lambda: int(run.page(1)["connection_epoch"]) == epoch + 1, "another connection")
        wait_for(lambda: run.is_complete(1), "ticks to come again")
    assert int(run.page(1)["connection_epoch"]) == epoch + 1
    run_dry(run, witness)
    assert run.stop() == 0
    witness.finish()
    (gap,) = witness.told("Gap")
    assert (gap["connection"], gap["reason"]) == (1, Reason.NO_TICKS)
    judge(run, witness)
    run.assert_nothing_left()


@pytest.mark.full
@pytest.mark.timeout(180)
def test_heartbeats_and_few_ticks_for_half_a_minute_are_no_alarm(make_run: Make) -> None:
    be_silent(make_run, 12.0, 3, "")
