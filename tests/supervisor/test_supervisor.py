"""Whole instances with fake roles: starting, dying, hanging, ending. Each proves what it leaves."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import InstanceState, Reason, SegmentKind, State
from pipeline.shm.instance import InstanceView
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable
from tests.supervisor.harness import Instance, wait_for

Make = Callable[..., Instance]
ROLES = 4  # simulator, decoder, two feeds


def test_sigterm_drains_and_leaves_nothing(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    view = instance.view()
    assert view.read().state is InstanceState.RUNNING
    assert (view.read().connection_count, view.read().decoder_count) == (2, 1)
    ring = Segment.attach(instance.paths.segment(SegmentKind.FRAMES, 0), SegmentKind.FRAMES)
    assert instance.stop() == 0
    assert view.read().state is InstanceState.ENDED
    assert view.read().reason is Reason.SHUTDOWN
    assert ring.record("RingControlC")["tail"] > 0
    assert [len(instance.pids(f"feed-{n}")) for n in (0, 1)] == [1, 1]
    instance.assert_nothing_left()


def test_sigint_ends_with_130(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    instance.signal(signal.SIGINT)
    assert instance.wait() == 130
    instance.assert_nothing_left()


def test_ctrl_c_reaches_the_group_but_only_the_supervisor_acts(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    assert instance.process is not None
    os.killpg(instance.process.pid, signal.SIGINT)
    assert instance.wait() == 130
    assert "(killed)" not in instance.log_text()
    instance.assert_nothing_left()


def test_a_bounded_run_ends_by_itself(make_instance: Make) -> None:
    instance = make_instance().start("0.5")
    assert instance.wait() == 0
    instance.assert_nothing_left()


def test_a_second_signal_stops_at_once(make_instance: Make) -> None:
    instance = make_instance(instance="drain_timeout_s = 60.0")
    instance.behave("feed-0", "stubborn")
    instance.start_and_wait(ROLES)
    instance.signal(signal.SIGTERM)
    wait_for(lambda: "ending in good order" in instance.log_text(), "the first signal to be seen")
    time.sleep(0.15)  # two signals within 100 ms are one request
    instance.signal(signal.SIGINT)
    assert instance.wait() == 130
    instance.assert_nothing_left()


def test_who_ignores_sigterm_is_killed_when_the_time_is_over(make_instance: Make) -> None:
    instance = make_instance(instance="drain_timeout_s = 0.3")
    for name in ("feed-0", "decoder-0", "simulator-0"):
        instance.behave(name, "stubborn")
    instance.start_and_wait(ROLES)
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_the_assignment_is_what_the_config_says(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    path = instance.paths.segment(SegmentKind.ASSIGNMENT, 0)
    version, rows = AssignmentTable(Segment.attach(path, SegmentKind.ASSIGNMENT)).read()
    assert version == 1
    assert rows["instrument_token"].tolist() == [408065, 884737]
    assert rows["slot"].tolist() == [0, 1]
    assert instance.stop() == 0


def test_a_second_start_is_refused_with_the_pid_of_the_first(make_instance: Make) -> None:
    first = make_instance().start_and_wait(ROLES)
    second = make_instance().start()
    assert second.wait() == 73
    assert first.process is not None
    assert f"runs already, as process {first.process.pid}" in second.log_text()
    assert first.view().read().is_live
    assert first.stop() == 0
    first.assert_nothing_left()


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_made(make_instance: Make) -> None:
    instance = make_instance(more="order_bytes = 4294967296\ntext_bytes = 4294967296")
    instance.config.write_text(
        instance.config.read_text().replace("tick_records = 1024", "tick_records = 4294967296")
    )
    assert instance.start().wait() == 73
    assert "lower [rings] tick_records" in instance.log_text()
    assert instance.starts() == []
    instance.assert_nothing_left()


def test_a_feed_that_is_killed_starts_again_at_once_and_its_heir_says_so(
    make_instance: Make,
) -> None:
    instance = make_instance().start_and_wait(ROLES)
    for round_number in range(3):
        instance_row = instance.row("feed 0")
        wait_for(lambda: instance.states(0) or True, "the ring")
        pid = instance.wait_for_starts("feed-0", round_number + 1)
        wait_for(lambda: int(instance_row["pid"]) == pid, "the row to name it")  # noqa: B023
        os.kill(pid, signal.SIGKILL)
    instance.wait_for_starts("feed-0", 4)
    told = [state for state in instance.states(0) if state[1] is Reason.PROCESS_KILLED]
    assert told == [(State.RECONNECTING, Reason.PROCESS_KILLED, -signal.SIGKILL)] * 3
    row = instance.row("feed 0")
    wait_for(lambda: int(row["restarts"]) == 3, "three restarts")
    assert int(row["last_exit_code"]) == -signal.SIGKILL
    assert not int(row["circuit_open"])
    assert len(instance.pids("feed-1")) == 1
    assert instance.states(1) == []
    assert instance.stop() == 0
    instance.assert_nothing_left()


@pytest.mark.parametrize(
    ("behaviour", "exit_code"),
    [("exit 3", 3), ("raise", 1), ("segv", -signal.SIGSEGV), ("abort", -signal.SIGABRT)],
)
def test_a_crash_loop_opens_the_circuit_and_the_rest_runs_on(
    make_instance: Make, behaviour: str, exit_code: int
) -> None:
    supervisor = "[supervisor]\nrestart_backoff_s = [0.0, 0.05]\ncircuit_retry_s = 1.0"
    instance = make_instance(more=supervisor)
    instance.behave("feed-0", behaviour)
    instance.start_and_wait(ROLES)
    row = instance.row("feed 0")
    wait_for(lambda: int(row["circuit_open"]), "the circuit to open")
    begun = [at for name, _, at, _ in instance.starts() if name == "feed-0"]
    # On a busy machine the next try may have begun before we look.
    assert len(begun) == 5 or begun[5] - begun[4] >= NS_PER_S
    assert int(row["last_exit_code"]) == exit_code
    assert int(row["last_exit_reason"]) == Reason.PROCESS_EXITED
    told = (State.FAILED, Reason.PROCESS_EXITED, exit_code)
    wait_for(lambda: instance.states(0)[-1] == told, "its heir to say FAILED")
    instance.behave("feed-0", "good")  # and the next try succeeds
    instance.wait_for_starts("feed-0", 6)
    assert len(instance.pids("feed-1")) == len(instance.pids("decoder-0")) == 1
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_traceback_is_logged_once_per_death(make_instance: Make) -> None:
    instance = make_instance(more="[supervisor]\ncircuit_deaths = 1")
    instance.behave("decoder-0", "raise")
    instance.start()
    wait_for(lambda: "counts as FAILED" in instance.log_text(), "the circuit to open")
    assert instance.log_text().count("ValueError: a fault in a role") == 1
    assert instance.stop() == 0


@pytest.mark.parametrize("name", ["feed-0", "decoder-0"])
def test_a_hung_process_is_killed_and_replaced(make_instance: Make, name: str) -> None:
    instance = make_instance(more="[supervisor]\nhang_timeout_s = 0.5").start_and_wait(ROLES)
    (pid,) = instance.pids(name)
    os.kill(pid, signal.SIGSTOP)
    instance.wait_for_starts(name, 2)
    row = instance.row(name.replace("-", " "))
    wait_for(lambda: int(row["restarts"]) == 1, "the restart to be shown")
    assert int(row["last_exit_reason"]) == Reason.PROCESS_HUNG
    if name == "feed-0":  # its heir spoke before there was a successor
        assert (State.RECONNECTING, Reason.PROCESS_HUNG, -signal.SIGKILL) in instance.states(0)
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_stopped_supervisor_accuses_nobody(make_instance: Make) -> None:
    instance = make_instance(more="[supervisor]\nhang_timeout_s = 0.5").start_and_wait(ROLES)
    group = instance.running()
    for pid in group:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    for pid in group:
        os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    assert {name: len(instance.pids(name)) for name, *_ in instance.starts()} == {
        "simulator-0": 1,
        "decoder-0": 1,
        "feed-0": 1,
        "feed-1": 1,
    }
    assert instance.stop() == 0


def test_a_frame_that_kills_two_decoders_is_skipped_by_the_third(make_instance: Make) -> None:
    instance = make_instance(connections=1)
    instance.behave("decoder-0", "poison 7")
    instance.start_and_wait(3)
    instance.wait_for_starts("decoder-0", 3)
    skips = [skip for name, _, _, skip in instance.starts() if name == "decoder-0"]
    assert skips == ["None", "None", "(0, 7)"]
    path = instance.paths.segment(SegmentKind.DECODER_STATUS, 0)
    page = Segment.attach(path, SegmentKind.DECODER_STATUS).record("DecoderStatusC")
    wait_for(lambda: int(page["decoding_source_sequence"]) > 20, "decoding to go on")
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_the_simulator_s_successor_listens_on_the_same_port(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    (pid,) = instance.pids("simulator-0")
    os.kill(pid, signal.SIGKILL)
    instance.wait_for_starts("simulator-0", 2)
    assert len(instance.pids("feed-0")) == 1
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_killed_supervisor_leaves_no_process_and_the_next_start_is_clean(
    make_instance: Make,
) -> None:
    instance = make_instance().start_and_wait(ROLES)
    first = InstanceView(instance.paths).read().instance_id
    instance.signal(signal.SIGKILL)
    assert instance.wait() == -signal.SIGKILL
    wait_for(lambda: not instance.running(), "the children to die with it")
    assert instance.paths.segment(SegmentKind.TICKS, 0).exists()  # for `stat`
    instance.start()
    instance.wait_for_starts("feed-1", 2)
    assert InstanceView(instance.paths).read().instance_id != first
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_vanished_directory_ends_the_instance_with_a_reason(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    view = instance.view()
    shutil.rmtree(instance.paths.directory)
    assert instance.wait() == 75
    assert "has vanished" in instance.log_text()
    assert view.read().state is InstanceState.ENDED
    wait_for(lambda: not instance.running(), "every process to be gone")


def test_a_vanished_instance_does_not_touch_its_successor_s_files(make_instance: Make) -> None:
    first = make_instance().start_and_wait(ROLES)
    first.paths.instance_file.unlink()
    second = make_instance().start()
    second.wait_for_starts("feed-1", 2)
    assert first.wait() == 75
    assert second.view().read().is_live
    assert second.paths.segment(SegmentKind.TICKS, 1).exists()
    assert second.stop() == 0
    second.assert_nothing_left()


def test_with_exit_on_auth_it_ends_once_every_token_is_rejected(make_instance: Make) -> None:
    instance = make_instance(instance="exit_on_auth = true")
    instance.behave("feed-0", "rejected")
    instance.start_and_wait(ROLES)
    time.sleep(0.5)
    assert instance.process is not None and instance.process.poll() is None
    instance.behave("feed-1", "rejected")
    os.kill(instance.wait_for_starts("feed-1", 1), signal.SIGKILL)
    assert instance.wait() == 77
    instance.assert_nothing_left()


def test_pages_of_dead_readers_are_swept(make_instance: Make) -> None:
    instance = make_instance().start_and_wait(ROLES)
    page = instance.paths.reader("strategy", 2**22 + 1)  # no such process
    page.write_bytes(b"")
    mine = instance.paths.reader("strategy", os.getpid())
    mine.write_bytes(b"")
    wait_for(lambda: not page.exists(), "the page to be swept")
    assert mine.exists()
    assert instance.stop() == 0


def test_a_token_from_the_environment_lies_in_a_file_for_us_alone(make_instance: Make) -> None:
    instance = make_instance()
    instance.config.write_text(
        instance.config.read_text().replace(
            'api_key = "demo"', 'api_key = "demo"\naccess_token = "env:A_TOKEN"'
        )
    )
    canary = "canary-4f1d7c2b"
    instance.start(environment={"A_TOKEN": canary})
    instance.wait_for_starts("feed-1", 1)
    path = instance.paths.secrets / "exchange"
    assert path.read_text().strip() == canary
    assert path.stat().st_mode & 0o777 == 0o600
    assert "read from the environment once" in instance.log_text()
    assert instance.stop() == 0
    assert canary not in instance.log_text()
    instance.assert_nothing_left()


def _kill_supervisors(make_instance: Make, rounds: int) -> None:
    """Kill the supervisor at any moment of its life, again and again."""
    instance = make_instance()
    for number in range(rounds):
        instance.start()
        time.sleep(0.15 + 0.02 * (number % 20))
        instance.signal(signal.SIGKILL)
        assert instance.wait() == -signal.SIGKILL
        wait_for(lambda: not instance.running(), "the children to die with it")
    begun = len(instance.starts())
    instance.start()
    wait_for(lambda: len(instance.starts()) >= begun + ROLES, "a clean start")
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_supervisors_killed_at_any_moment(make_instance: Make) -> None:
    _kill_supervisors(make_instance, 3)


@pytest.mark.full
def test_supervisors_killed_at_any_moment_full(make_instance: Make) -> None:
    _kill_supervisors(make_instance, 20)
