"""Rendezvous hashing: stable, even, and with few changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.hashing import Winners, score, scores, seat_key


@given(token=st.integers(0, 2**32 - 1), seat=st.integers(0, 2**64 - 1))
def test_many_scores_are_those_of_each(token: int, seat: int) -> None:
    assert scores(np.array([token], np.uint64), seat).tolist() == [score(token, seat)]


def test_seats_have_keys_that_do_not_change_with_the_process() -> None:
    assert seat_key("main", 0) == 0x817183B2E4BF5933
    assert seat_key("main", 1) != seat_key("other", 1)


def test_the_winner_heads_the_ranking_and_shares_are_even() -> None:
    tokens = range(1, 9001)
    winners = Winners(tokens)
    for place in range(3):
        winners.add(seat_key("main", place))
    found = [winners.winner(token) for token in tokens]
    assert all(winners.ranking(token)[0] == found[token - 1] for token in tokens[:100])
    assert max(abs(found.count(n) - 3000) for n in range(3)) < 200


def test_a_seat_that_comes_takes_from_all_and_gives_nothing() -> None:
    tokens = range(1, 3001)
    winners = Winners(tokens)
    for place in range(3):
        winners.add(seat_key("main", place))
    before = [winners.winner(token) for token in tokens]
    winners.add(seat_key("main", 3))
    after = [winners.winner(token) for token in tokens]
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {3}
