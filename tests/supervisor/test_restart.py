"""Back-off and circuit breaker: named cases, and every sequence against a plain restatement."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import SupervisorConfig
from pipeline.supervisor.restart import Cause, RestartPolicy, RestartRecord, classify

POLICY = RestartPolicy.of(SupervisorConfig())
S = NS_PER_S


@pytest.mark.parametrize(
    ("exit_code", "hung", "cause"),
    [
        (0, False, Cause.EXITED),
        (1, False, Cause.EXITED),
        (1, True, Cause.EXITED),  # it ended by itself before our signal came
        (-signal.SIGSEGV, False, Cause.EXITED),
        (-signal.SIGABRT, True, Cause.EXITED),
        (-signal.SIGBUS, False, Cause.EXITED),
        (-signal.SIGFPE, False, Cause.EXITED),
        (-signal.SIGILL, False, Cause.EXITED),
        (-signal.SIGKILL, True, Cause.HUNG),
        (-signal.SIGKILL, False, Cause.KILLED),
        (-signal.SIGTERM, False, Cause.KILLED),
    ],
)
def test_a_death_has_one_cause(exit_code: int, hung: bool, cause: Cause) -> None:
    assert classify(exit_code, killed_as_hung=hung) is cause


def test_pauses_grow_and_the_fifth_death_in_a_minute_opens_the_circuit() -> None:
    record = RestartRecord(POLICY)
    now, pauses, opened = 100 * S, [], []
    for _ in range(7):
        verdict = record.note_death(now, cause=Cause.EXITED, committed=True)
        pauses.append((verdict.start_mono_ns - now) / S)
        opened.append(verdict.circuit_opened)
        now = verdict.start_mono_ns
    assert pauses == [0, 0.1, 0.5, 2, 60, 60, 60]
    assert opened == [False, False, False, False, True, False, False]


def test_slow_deaths_come_to_the_longest_pause_but_open_no_circuit() -> None:
    record = RestartRecord(POLICY)
    now = 0
    for _ in range(9):
        now += 20 * S
        verdict = record.note_death(now, cause=Cause.HUNG, committed=True)
        assert not record.circuit_open
    assert verdict.start_mono_ns - now == 10 * S


def test_who_is_killed_from_outside_starts_again_at_once_for_ever() -> None:
    record = RestartRecord(POLICY)
    for now in range(1000):
        verdict = record.note_death(now, cause=Cause.KILLED, committed=True)
        assert (verdict.start_mono_ns, verdict.counted) == (now, False)
    assert record.deaths_in_a_row == 0


def test_the_third_kill_in_a_row_without_a_commit_counts() -> None:
    record = RestartRecord(POLICY)
    counted = [
        record.note_death(now, cause=Cause.KILLED, committed=False).counted for now in range(5)
    ]
    assert counted == [False, False, True, True, True]
    assert not record.note_death(6, cause=Cause.KILLED, committed=True).counted
    assert not record.note_death(7, cause=Cause.KILLED, committed=False).counted


def test_a_long_life_closes_the_circuit_and_forgives() -> None:
    record = RestartRecord(POLICY)
    for now in range(5):
        record.note_death(now, cause=Cause.EXITED, committed=False)
    assert record.circuit_open
    assert not record.note_life(59 * S)
    assert record.circuit_open
    assert record.note_life(60 * S)
    assert not record.circuit_open
    assert record.note_death(200 * S, cause=Cause.EXITED, committed=True).start_mono_ns == 200 * S


def test_a_process_that_dies_at_once_is_started_at_most_eight_times_a_minute() -> None:
    record = RestartRecord(POLICY)
    now, starts = 0, [0]
    while now < 600 * S:
        now = record.note_death(now, cause=Cause.EXITED, committed=False).start_mono_ns
        starts.append(now)
    for first in starts:
        assert sum(first <= start < first + 60 * S for start in starts) <= 8


class Restarts(RuleBasedStateMachine):
    """Any lives and deaths, beside the rules written down as they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.record = RestartRecord(POLICY)
        self.now = self.started = 1000 * S
        self.counted: list[int] = []  # since the last long life
        self.barren = 0
        self.open = False

    @rule(lived=st.integers(0, 59 * S))
    def live(self, lived: int) -> None:
        self.now += lived
        self._live_on()

    @rule()
    def live_long(self) -> None:
        self.now += 60 * S
        self._live_on()

    def _live_on(self) -> None:
        mended = self.record.note_life(self.now - self.started)
        assert mended == (self.now - self.started >= 60 * S and bool(self.counted))
        if mended:
            self.counted, self.open = [], False

    @rule(cause=st.sampled_from(Cause), committed=st.booleans())
    def die(self, cause: Cause, committed: bool) -> None:
        self.barren = 0 if committed else self.barren + 1
        counts = cause is not Cause.KILLED or self.barren >= 3
        if counts:
            self.counted.append(self.now)
        recent = [death for death in self.counted if self.now - death <= 60 * S]
        opens = counts and not self.open and len(recent) >= 5
        self.open = self.open or opens
        verdict = self.record.note_death(self.now, cause=cause, committed=committed)
        assert verdict.counted == counts
        assert verdict.circuit_opened == opens
        pause = (verdict.start_mono_ns - self.now) / S
        if not counts:
            assert pause == 0
        elif self.open:
            assert pause == 60
        else:
            assert pause == (0, 0.1, 0.5, 2, 10)[min(len(self.counted), 5) - 1]
        self.now = self.started = verdict.start_mono_ns

    @invariant()
    def shows_what_is_so(self) -> None:
        assert self.record.circuit_open == self.open
        assert self.record.deaths_in_a_row == len(self.counted)


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=100, deadline=None)
