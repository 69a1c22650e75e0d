"""Numbers of connections: each is given once."""

from __future__ import annotations

from pipeline.services.control.tally import Counters, Tally


def test_no_number_is_given_twice() -> None:
    tally = Tally()
    assert [tally.take() for _ in range(3)] == [0, 1, 2]
    tally.note(7)  # found in the tables
    tally.note(4)
    assert (tally.take(), tally.take(), tally.upcoming) == (8, 9, 10)


def test_a_successor_goes_on_behind_all_that_there_ever_were() -> None:
    """Of those that are gone only the count is known."""
    tally = Tally(Counters(connections_opened=5))
    tally.note(2)
    assert (tally.upcoming, tally.take()) == (5, 5)
