"""Hung: heartbeat and busy_until both past; a supervisor that slept itself accuses nobody."""

from __future__ import annotations

from pipeline.core.clock import NS_PER_S
from pipeline.supervisor.hangs import HangWatch

S = NS_PER_S


def watch_until(now: int) -> HangWatch:
    watch = HangWatch(3 * S, now - 5 * S)
    for turn in range(now - 5 * S, now + 1, S // 4):
        watch.note_turn(turn)
    return watch


def test_silence_is_a_hang_after_the_timeout() -> None:
    watch = watch_until(100 * S)
    assert not watch.is_hung(100 * S, heartbeat_ns=97 * S, busy_until_ns=0)
    assert watch.is_hung(100 * S, heartbeat_ns=97 * S - 1, busy_until_ns=0)


def test_an_announced_absence_is_none() -> None:
    watch = watch_until(100 * S)
    assert not watch.is_hung(100 * S, heartbeat_ns=10 * S, busy_until_ns=98 * S)
    assert watch.is_hung(100 * S, heartbeat_ns=10 * S, busy_until_ns=96 * S)


def test_the_first_turn_may_come_late_as_well() -> None:
    watch = HangWatch(3 * S, 100 * S)
    watch.note_turn(110 * S)
    assert not watch.is_hung(110 * S, heartbeat_ns=100 * S, busy_until_ns=0)


def test_after_an_absence_of_its_own_everybody_has_one_more_period() -> None:
    watch = watch_until(100 * S)
    watch.note_turn(110 * S)
    assert not watch.is_hung(110 * S, heartbeat_ns=100 * S, busy_until_ns=0)
    for turn in range(110 * S, 113 * S, S // 4):
        watch.note_turn(turn)
        assert not watch.is_hung(turn, heartbeat_ns=100 * S, busy_until_ns=0)
    watch.note_turn(113 * S)
    assert watch.is_hung(113 * S, heartbeat_ns=100 * S, busy_until_ns=0)
    assert not watch.is_hung(113 * S, heartbeat_ns=112 * S, busy_until_ns=0)
