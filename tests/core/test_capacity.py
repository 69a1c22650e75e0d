"""Placing instruments on connections."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.capacity import Demand, place


def test_first_fit_in_order_and_explicit_first() -> None:
    demands = [Demand((1, 2, 3), "full", None), Demand((4, 5), "ltp", 0)]
    wanted, unplaced = place(demands, [3, 2])
    assert wanted == (((4, "ltp"), (5, "ltp"), (1, "full")), ((2, "full"), (3, "full")))
    assert unplaced == (0, 0)


def test_what_finds_no_room_is_counted() -> None:
    assert place([Demand((1, 2, 3), "full", 0)], [2, 9]).unplaced == (1,)
    assert place([Demand((1, 2), "full", 5)], [9]).unplaced == (2,)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 5)), max_size=8),
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
)
def test_nothing_is_lost_doubled_or_over_capacity(
    sizes: list[tuple[int, int | None]], capacities: list[int]
) -> None:
    demands, start = [], 1
    for size, connection in sizes:
        demands.append(Demand(tuple(range(start, start + size)), "quote", connection))
        start += size
    wanted, unplaced = place(demands, capacities)
    placed = [token for rows in wanted for token, _ in rows]
    assert len(placed) == len(set(placed))
    assert len(placed) + sum(unplaced) == start - 1
    assert all(len(rows) <= room for rows, room in zip(wanted, capacities, strict=True))
