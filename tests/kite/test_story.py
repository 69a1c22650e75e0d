"""From state changes to callbacks: what kiteconnect 5.2.2 was seen to do, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, State
from pipeline.kite.story import DROPPED_TEXT, Call, Ending, Story, waited_s
from pipeline.strategy.items import StateChange

DROPPED = [Call("error", (1006, DROPPED_TEXT)), Call("close", (1006, DROPPED_TEXT))]


def change(state: State, reason: Reason, detail: int = 0, connection: int = 0) -> StateChange:
    return StateChange(
        connection=connection, connection_epoch=1, state=state, reason=reason, detail=detail,
        ts_ns=0, mono_ns=0, tick_sequence=0,
    )  # fmt: skip


def connected(connection: int = 0) -> StateChange:
    return change(State.SUBSCRIBING, Reason.CONNECTED, connection=connection)


def lost(reason: Reason = Reason.RESET, detail: int = 0, connection: int = 0) -> StateChange:
    return change(State.RECONNECTING, reason, detail, connection)


def told(story: Story, *changes: StateChange, words: str = "") -> list[Call]:
    return [call for found in changes for call in story.take(found, lambda: words)]


def test_a_quiet_life() -> None:
    story = Story(range(1), tries_max=3)
    calls = told(
        story,
        change(State.CONNECTING, Reason.STARTED),
        connected(),
        change(State.LIVE, Reason.FIRST_DATA),
        change(State.QUIET, Reason.NO_TICKS),
        change(State.SUBSCRIBING, Reason.NONE),
    )
    assert calls == [Call("connect")]
    assert story.connected


def test_the_first_loss_is_not_yet_a_retry() -> None:
    story = Story(range(1), tries_max=3)
    assert told(story, connected(), lost()) == [Call("connect"), *DROPPED]
    assert not story.connected
    assert told(story, lost(Reason.CONNECT_FAILED)) == [Call("reconnect", (1,))]
    assert told(story, lost(Reason.EOF)) == [*DROPPED, Call("reconnect", (2,))]
    assert told(story, connected(), lost()) == [Call("connect"), *DROPPED]


def test_the_connections_of_a_pool_come_and_go() -> None:
    story = Story(range(0), tries_max=3)
    assert list(story.join_pool()) == [Call("connect")]
    assert list(story.join_pool()) == []
    assert told(story, connected(0), connected(5)) == []
    assert told(story, lost(connection=5)) == DROPPED
    assert told(story, lost(Reason.CONNECT_FAILED, connection=5)) == [Call("reconnect", (1,))]
    assert told(story, change(State.CLOSED, Reason.DRAINED, connection=5)) == [Call("connect")]
    assert told(story, change(State.CLOSED, Reason.DRAINED, connection=0)) == []
    assert story.connected


@pytest.mark.parametrize(
    ("detail", "words", "expected"),
    [(1001, "bye", (1001, "bye")), (1000, "", (1000, None)), (1005, "", (None, None))],
)
def test_an_orderly_close_is_no_error(detail: int, words: str, expected: tuple[object]) -> None:
    story = Story(range(1), tries_max=3)
    told(story, connected())
    calls = told(story, lost(Reason.CLOSE_FRAME, detail), words=words)
    assert calls == [Call("close", expected)]


def test_retries_are_exhausted() -> None:
    story = Story(range(1), tries_max=1)
    assert told(story, lost(Reason.CONNECT_FAILED)) == []
    assert not story.over
    calls = told(story, lost(Reason.RESOLVE_FAILED))
    assert calls == [Call("reconnect", (1,)), Call("noreconnect")]
    assert story.over
    assert told(story, connected()) == []


def attempt(at_s: float, reason: Reason = Reason.CONNECT_FAILED) -> StateChange:
    return replace(lost(reason), mono_ns=round(at_s * NS_PER_S))


def test_an_outage_is_outlasted_as_long_as_kiteconnect_does() -> None:
    """Its pauses are 1, 2.7, 7.4, 20, 54.6 s and then the longest one."""
    story = Story(range(1), tries_max=3, delay_max_s=60)
    assert told(story, connected(), attempt(100, Reason.RESET)) == [Call("connect"), *DROPPED]
    assert told(story, attempt(100.2)) == [Call("reconnect", (1,))]
    assert told(story, attempt(100.5), attempt(103), attempt(103.6, Reason.EOF)) == []
    assert told(story, attempt(103.8)) == [Call("reconnect", (2,))]
    assert told(story, attempt(105), attempt(111)) == []
    assert not story.over
    assert told(story, attempt(111.2)) == [Call("reconnect", (3,)), Call("noreconnect")]


def test_what_ends_it_is_not_waited_for() -> None:
    for last, retrying in ((State.AUTH_EXPIRED, True), (State.RECONNECTING, False)):
        story = Story(range(1), tries_max=9, delay_max_s=60)
        told(story, attempt(1), attempt(1.1))
        story.retrying = retrying
        told(story, change(last, Reason.AUTH_REJECTED, 403))
        assert story.over


def test_fifty_tries_take_three_quarters_of_an_hour() -> None:
    assert [round(waited_s(n, 60), 1) for n in (0, 1, 2, 5, 6)] == [0, 1, 3.7, 85.8, 145.8]
    assert 45 * 60 < waited_s(50, 60) < 48 * 60
    assert waited_s(300, 5.0) == pytest.approx(1 + 2.718 + 298 * 5, abs=0.01)


def test_without_retrying_a_loss_is_the_end() -> None:
    story = Story(range(1), tries_max=3)
    story.retrying = False
    assert told(story, connected(), lost()) == [Call("connect"), *DROPPED]
    assert story.over


def test_a_rejected_token_is_the_end() -> None:
    text = "connection was closed uncleanly (WebSocket connection upgrade failed (403 - Forbidden))"
    story = Story(range(1), tries_max=50)
    calls = told(story, change(State.AUTH_EXPIRED, Reason.AUTH_REJECTED, 403))
    assert calls == [Call("error", (1006, text)), Call("close", (1006, text)), Call("noreconnect")]


def test_waiting_for_a_turn_is_no_attempt() -> None:
    story = Story(range(1), tries_max=0)
    assert told(story, change(State.LIMITED, Reason.RATE_LIMITED)) == []
    calls = told(story, change(State.LIMITED, Reason.RATE_LIMITED, 429))
    assert [call.name for call in calls] == ["error", "close", "noreconnect"]


def test_a_killed_feed_and_an_unknown_status_have_their_words() -> None:
    story = Story(range(1), tries_max=9)
    told(story, connected())
    text = "connection was closed uncleanly (process killed)"
    assert told(story, lost(Reason.PROCESS_KILLED, -9))[1] == Call("close", (1006, text))
    assert "599 - Unknown" in str(told(story, lost(Reason.HTTP_STATUS, 599))[0])


def test_several_connections_are_connected_when_all_are() -> None:
    story = Story(range(2), tries_max=3)
    assert told(story, connected(0)) == []
    assert told(story, connected(1)) == [Call("connect")]
    assert told(story, lost(connection=1), lost(connection=0)) == DROPPED
    assert told(story, connected(1), lost(Reason.CONNECT_FAILED)) == [Call("reconnect", (1,))]
    assert told(story, connected(0)) == [Call("connect")]


def test_the_end_is_told_to_whom_is_connected() -> None:
    story = Story(range(1), tries_max=3)
    assert list(story.join(0)) == [Call("connect")]
    ending = Ending(1000, "enough", clean=True)
    assert list(story.finish(ending)) == [Call("close", (1000, "enough"))]
    assert list(story.finish(ending)) == []


def test_connections_are_those_that_there_are_whatever_their_numbers() -> None:
    story = Story([3, 5], tries_max=3)
    assert list(story.join(5)) == [] and not story.connected
    assert [call.name for call in story.join(3)] == ["connect"] and story.connected
