"""Long callbacks are told of, now and again, and when they are over."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import layout
from pipeline.core.clock import NS_PER_S
from pipeline.core.config import SupervisorConfig
from pipeline.core.enums import HostPhase, Role
from pipeline.shm import specs
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.callbacks import CallbackWatch
from pipeline.supervisor.member import Member
from pipeline.supervisor.restart import Cause, RestartPolicy

S = NS_PER_S


@pytest.fixture
def member(tmp_path: Path) -> Member:
    segment = Segment.create(tmp_path / "page", specs.strategy_status(0), instance_id=bytes(16))
    row = np.zeros((), layout.dtypes["ProcessC"])
    policy = RestartPolicy.of(SupervisorConfig())
    made = Member(
        Role.STRATEGY, 0, page=StatusPage(segment), row=row, policy=policy, label="averages"
    )
    made.prepare(1)
    made.note_start(2**22 + 1, -1, 1)
    segment.record("StrategyStatusC")["report_after_ns"] = 3 * S
    return made


def enter(member: Member, phase: HostPhase, since_ns: int) -> None:
    assert member.page is not None
    member.page.record["phase"], member.page.record["phase_since_mono_ns"] = phase, since_ns


def test_a_long_callback_is_told_with_growing_pauses(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = CallbackWatch([member])
    enter(member, HostPhase.ON_TICKS, 10 * S)
    for second in range(10, 72):
        watch.tell(second * S)
    reports = [record.getMessage() for record in caplog.records]
    assert [r.partition(" for ")[2].partition(" s:")[0] for r in reports] == ["3", "12", "48"]
    assert reports[0].startswith("strategy averages is in on_ticks for 3 s")
    enter(member, HostPhase.WAITING, 72 * S)
    watch.tell(72 * S)
    watch.tell(90 * S)
    assert [r.getMessage() for r in caplog.records][3:] == [
        "strategy averages is back from on_ticks"
    ]


def test_short_ones_waiting_and_the_dead_are_not_told(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = CallbackWatch([member])
    for second in range(10, 30):
        enter(member, HostPhase.ON_TICKS, second * S)
        watch.tell(second * S + 2 * S)
    enter(member, HostPhase.WAITING, 30 * S)
    watch.tell(90 * S)
    enter(member, HostPhase.INIT, 90 * S)
    member.note_death(91 * S, exit_code=-9, cause=Cause.KILLED, restart=True)
    watch.tell(200 * S)
    assert caplog.records == []
    assert HostPhase(int(member.page.record["phase"])) is HostPhase.NONE  # type: ignore[union-attr]


def test_one_that_cannot_run_opens_the_circuit_at_once(member: Member) -> None:
    assert member.note_death(5, exit_code=78, cause=Cause.EXITED, restart=True)
    assert member.restarts.circuit_open
    assert member.start_mono_ns == 5 + 60 * S
    member.prepare(6)
    assert member.restart is not None and member.restart.exit_code == 78
    assert member.name == "strategy averages"
