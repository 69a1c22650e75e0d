"""One deadline over many waits."""

from __future__ import annotations

import select
import socket

import pytest

from pipeline.feed.deadline import Cancelled, Deadline, DeadlinePassed


def test_a_wait_ends_when_the_descriptor_is_ready() -> None:
    left, right = socket.socketpair()
    with left, right:
        Deadline(10).wait(left, select.POLLOUT)
        right.send(b"x")
        Deadline(10).wait(left, select.POLLIN)


def test_a_wait_ends_with_the_deadline() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(DeadlinePassed):
        Deadline(0.02).wait(left, select.POLLIN)


def test_a_part_never_outlives_the_whole() -> None:
    whole = Deadline(5)
    assert whole.part(100).duration_s <= 5
    assert whole.part(1).duration_s == 1


def test_nothing_is_left_of_a_deadline_that_passed() -> None:
    deadline = Deadline(0)
    assert deadline.remaining_s == 0
    with pytest.raises(DeadlinePassed):
        deadline.check()


def test_the_caller_is_asked_at_every_check() -> None:
    answers = [True, True, False]
    deadline = Deadline(10, lambda: answers.pop(0))
    deadline.check()
    deadline.slice_s()
    with pytest.raises(Cancelled):
        deadline.check()
