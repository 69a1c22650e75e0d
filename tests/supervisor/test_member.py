"""A role over its processes: which frame is under suspicion, and what its row shows."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline.core import layout
from pipeline.core.config import SupervisorConfig
from pipeline.core.enums import Reason, Role, State
from pipeline.shm import specs
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.member import Member
from pipeline.supervisor.restart import Cause, RestartPolicy


@pytest.fixture
def decoder(tmp_path: Path) -> Member:
    """A decoder with a page and a row of its own."""
    segment = Segment.create(tmp_path / "page", specs.decoder_status(0), instance_id=bytes(16))
    row = np.zeros((), layout.dtypes["ProcessC"])
    policy = RestartPolicy.of(SupervisorConfig())
    return Member(Role.DECODER, 0, page=StatusPage(segment), row=row, policy=policy)


def live_and_die(member: Member, at: tuple[int, int] | None, cause: Cause = Cause.EXITED) -> None:
    """Run a process that dies while decoding frame `at`, or between two."""
    member.prepare(1)
    member.note_start(2**22 + 1, -1, 1)
    assert member.page is not None
    page = member.page.record
    page["commits"] += 1
    if at is not None:
        page["decoding_connection"], page["decoding_source_sequence"] = at
        page["decoding"] = 1
    code = -signal.SIGABRT if cause is Cause.EXITED else -signal.SIGKILL
    member.note_death(2, exit_code=code, cause=cause, restart=True)


def test_two_own_deaths_in_a_row_on_one_frame_have_it_skipped(decoder: Member) -> None:
    live_and_die(decoder, (3, 17))
    assert decoder.skip is None
    live_and_die(decoder, (3, 17))
    assert decoder.skip == (3, 17)


@pytest.mark.parametrize(
    "between",
    [((3, 18), Cause.EXITED), ((2, 17), Cause.EXITED), (None, Cause.EXITED)],
)
def test_another_frame_in_between_clears_the_suspicion(
    decoder: Member, between: tuple[tuple[int, int] | None, Cause]
) -> None:
    live_and_die(decoder, (3, 17))
    live_and_die(decoder, *between)
    live_and_die(decoder, (3, 17))
    assert decoder.skip is None


def test_a_kill_from_outside_puts_no_frame_under_suspicion(decoder: Member) -> None:
    live_and_die(decoder, (3, 17), Cause.KILLED)
    live_and_die(decoder, (3, 17), Cause.KILLED)
    assert decoder.skip is None


def test_a_hang_on_a_frame_is_an_own_death(decoder: Member) -> None:
    live_and_die(decoder, (0, 0), Cause.HUNG)
    live_and_die(decoder, (0, 0), Cause.EXITED)
    assert decoder.skip == (0, 0)


def test_a_death_before_any_frame_does_not_count_for_the_predecessor_s(decoder: Member) -> None:
    live_and_die(decoder, (3, 17))
    live_and_die(decoder, None)
    assert decoder.skip is None


def test_the_row_shows_restarts_and_the_last_exit(decoder: Member) -> None:
    for _ in range(5):
        live_and_die(decoder, None)
    row = decoder._row
    assert int(row["restarts"]) == 4
    assert int(row["last_exit_code"]) == -signal.SIGABRT
    assert int(row["last_exit_reason"]) == Reason.PROCESS_EXITED
    assert int(row["circuit_open"]) == 1
    assert int(row["consecutive_deaths"]) == 5
    assert int(row["next_start_mono_ns"]) == 2 + 60 * 10**9
    assert row["name"].tobytes().rstrip(b"\0") == b"decoder 0"


def test_a_successor_finds_a_fresh_heartbeat_and_no_failed_state(decoder: Member) -> None:
    assert decoder.page is not None
    decoder.page.set_state(State.FAILED, Reason.CIRCUIT_OPEN)
    decoder.page.beat(1, busy_until_mono_ns=10**18)
    decoder.prepare(77)
    head = decoder.page.head
    assert int(head["heartbeat_mono_ns"]) == 77
    assert int(head["busy_until_mono_ns"]) == 0
    assert State(int(head["state"])) is State.RECONNECTING
