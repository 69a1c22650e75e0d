"""Runs that take turns: in which order, and what their slices come to."""

from __future__ import annotations

import pytest

from benchmarks.shape import Shape
from benchmarks.turns import Slice, by_turns, ns_per_tick, share_of_a_core


class Run:
    """Notes its turns."""

    def __init__(self, name: str, told: list[tuple[str, float]]) -> None:
        self.name, self.told = name, told

    def take(self, seconds: float) -> None:
        self.told.append((self.name, seconds))


def slices(*costs_ns: float) -> list[Slice]:
    return [
        Slice(seconds=0.5, ticks=1000, cpu_s={"path": cost * 1e-6, "beside": 0.01})
        for cost in costs_ns
    ]


def test_each_comes_first_as_often_and_all_have_as_many_slices() -> None:
    told: list[tuple[str, float]] = []
    runs = [Run("a", told), Run("b", told)]
    by_turns(runs, rounds=4, seconds=2.0, seed=1)  # type: ignore[arg-type]
    assert "".join(name for name, _ in told) == "abbaabba"
    assert all(1.4 <= seconds <= 2.6 for _, seconds in told)
    assert len({seconds for _, seconds in told}) == 8


def test_a_burst_is_left_out_and_so_is_as_much_at_the_other_end() -> None:
    assert ns_per_tick(slices(500, 9000, 510, 1), "path") == pytest.approx(505)
    assert ns_per_tick(slices(700), "path") == pytest.approx(700)
    assert share_of_a_core(slices(1, 1), "beside") == pytest.approx(2.0)


def test_dealt_instruments_are_the_same_ones_in_turn() -> None:
    blocks, dealt = Shape(per_frame=1), Shape(per_frame=1, dealt=True)
    in_order = [token for number in range(3) for token in blocks.tokens(number)]
    assert [dealt.tokens(number) for number in range(3)] == [in_order[n::3] for n in range(3)]
