"""A pool's connections, from wanted to gone; with fake roles, and the topology written here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.shm.names import OF_CONNECTIONS
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from tests.supervisor.harness import Instance, wait_for

Make = Callable[..., Instance]
POOL = "[pool]\nconnections_per_key = 3\ninstruments_per_connection = 100\n"
ROLES = 3  # simulator, decoder, control


@pytest.fixture
def instance(make_instance: Make) -> Instance:
    return make_instance(connections=0, more=POOL)


def _in_manifest(instance: Instance) -> set[int]:
    manifest = instance.view().read().manifest
    return {entry.number for entry in manifest if entry.kind is SegmentKind.FEED_STATUS}


def _is_gone(instance: Instance, number: int) -> bool:
    return number not in _in_manifest(instance) and not instance.files_of(number)


def test_what_is_wanted_is_opened_and_what_is_not_is_closed(instance: Instance) -> None:
    instance.start_and_wait(ROLES)
    assert _in_manifest(instance) == set()
    instance.want((0, 1), (1, 1))
    for number in (0, 1):
        instance.wait_for_starts(f"feed-{number}", 1)
    assert _in_manifest(instance) == {0, 1}
    assert len(instance.files_of(0)) == len(OF_CONNECTIONS)
    ring = Segment.attach(instance.paths.segment(SegmentKind.FRAMES, 0), SegmentKind.FRAMES)
    wait_for(lambda: ring.record("RingControlC")["tail"] > 5, "frames")
    instance.want((0, 0), (1, 1))
    wait_for(lambda: _is_gone(instance, 0), "connection 0 to be gone")
    assert _in_manifest(instance) == {1}
    assert len(instance.files_of(1)) == len(OF_CONNECTIONS)
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_number_is_never_used_again_and_its_row_is(instance: Instance) -> None:
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    instance.wait_for_starts("feed-0", 1)
    instance.want((0, 0))
    wait_for(lambda: _is_gone(instance, 0), "connection 0 to be gone")
    instance.want((0, 1), (1, 1))
    instance.wait_for_starts("feed-1", 1)
    assert len(instance.pids("feed-0")) == 1
    assert _in_manifest(instance) == {1}
    page = instance.row("feed 1")
    assert int(page["number"]) == 1
    with pytest.raises(AssertionError, match="no row"):
        instance.row("feed 0")
    instance.stop()
    instance.assert_nothing_left()


def test_what_came_is_decoded_before_a_connection_leaves(instance: Instance) -> None:
    instance.behave("decoder-0", "hang")
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    instance.wait_for_starts("feed-0", 1)
    instance.want()
    wait_for(lambda: not instance.row("feed 0")["pid"], "the feed to end")
    assert _in_manifest(instance) == {0}  # its decoder has not caught up
    instance.behave("decoder-0", "good")
    os.kill(instance.pids("decoder-0")[0], signal.SIGKILL)
    wait_for(lambda: _is_gone(instance, 0), "connection 0 to be gone")
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_feed_that_must_be_killed_to_end_is_announced_by_its_heir(instance: Instance) -> None:
    instance.behave("feed-0", "stubborn")
    instance.behave("decoder-0", "blind")
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    instance.wait_for_starts("feed-0", 1)
    instance.want((0, 0))
    wait_for(
        lambda: (State.CLOSED, Reason.PROCESS_KILLED, -signal.SIGKILL) in instance.states(0),
        "the heir's word",
    )
    assert len(instance.pids("feed-0")) == 1
    instance.stop()
    instance.assert_nothing_left()


def test_files_stay_until_the_decoder_has_seen_the_manifest(instance: Instance) -> None:
    instance.behave("decoder-0", "blind")
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    instance.wait_for_starts("feed-0", 1)
    instance.want()
    wait_for(lambda: _in_manifest(instance) == set(), "connection 0 to leave the manifest")
    assert len(instance.files_of(0)) == len(OF_CONNECTIONS)
    instance.stop()
    instance.assert_nothing_left()


def test_a_dead_control_process_changes_nothing(instance: Instance) -> None:
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    feed = instance.wait_for_starts("feed-0", 1)
    os.kill(instance.pids("control-0")[0], signal.SIGKILL)
    instance.wait_for_starts("control-0", 2)
    assert instance.pids("feed-0") == [feed]
    assert _in_manifest(instance) == {0}
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_what_was_to_start_later_does_not_when_all_ends(make_instance: Make) -> None:
    more = POOL + "[supervisor]\nrestart_backoff_s = [0.4]\n"
    instance = make_instance(connections=0, instance='log_level = "debug"', more=more)
    instance.behave("control-0", "exit 3")
    instance.behave("feed-0", "stubborn")
    instance.start_and_wait(ROLES)
    instance.want((0, 1))
    instance.wait_for_starts("feed-0", 1)
    instance.stop()
    before, _, after = instance.log_text().partition("ending in good order")
    assert "control 0 is process" in before and "control 0 is process" not in after
    instance.assert_nothing_left()


def test_a_connection_that_opens_is_no_restart(instance: Instance) -> None:
    instance.start_and_wait(ROLES)
    for number in range(3):
        instance.want((number, 1))
        instance.wait_for_starts(f"feed-{number}", 1)
    os.kill(instance.pids("control-0")[0], signal.SIGKILL)
    instance.wait_for_starts("control-0", 2)
    assert instance.stop() == 0
    assert "and 1 restart\n" in instance.log_text()
    instance.assert_nothing_left()


def test_a_control_process_that_is_killed_again_and_again_comes_back_each_time(
    instance: Instance,
) -> None:
    instance.start_and_wait(ROLES)
    page = StatusPage(instance.attach(SegmentKind.CONTROL_STATUS)).record
    for count in range(2, 7):
        turns = int(page["turns"])
        wait_for(lambda turns=turns: int(page["turns"]) > turns, "a turn")  # type: ignore[misc]
        os.kill(instance.pids("control-0")[-1], signal.SIGKILL)
        instance.wait_for_starts("control-0", count)
    assert not instance.row("control 0")["circuit_open"]
    assert instance.stop() == 0
    instance.assert_nothing_left()


@pytest.mark.parametrize("field", ["account", "decoder", "instruments_max"])
def test_a_row_that_cannot_be_is_told_and_passed_over(instance: Instance, field: str) -> None:
    instance.start_and_wait(ROLES)
    instance.want((0, 1), spoil=field)
    wait_for(lambda: "connection 0 cannot be made" in instance.log_text(), "the complaint")
    assert _in_manifest(instance) == set()
    assert instance.files_of(0) == []
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_decoder_of_another_owner_is_none(make_instance: Make) -> None:
    other = '[[account]]\nname = "other"\nurl = "simulator"\napi_key = "demo2"\nowner = "other"\n'
    instance = make_instance(connections=0, more=f"{POOL}{other}[decoder]\ncount = 2\n")
    text = instance.config.read_text()
    instance.config.write_text(text.replace("[rings]", 'owner = "default"\n[rings]'))
    instance.start_and_wait(ROLES + 1)
    instance.want((0, 1), spoil="decoder", nonsense=1)
    wait_for(lambda: "decoder 1 is none of default's" in instance.log_text(), "the complaint")
    assert instance.files_of(0) == []
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_a_table_that_changes_often_is_followed_to_the_end(instance: Instance) -> None:
    instance.start_and_wait(ROLES)
    for number in range(6):
        instance.want((number, 1))
        time.sleep(0.02)
    instance.wait_for_starts("feed-5", 1)
    wait_for(lambda: _in_manifest(instance) == {5}, "only the last one to be there")
    wait_for(lambda: not any(instance.files_of(n) for n in range(5)), "the others' files to go")
    assert instance.stop() == 0
    instance.assert_nothing_left()
