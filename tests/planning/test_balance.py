"""Fair counts: the whole, within capacities, nowhere further from fair than a remainder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.balance import fair_counts

loads = st.lists(
    st.integers(0, 500).flatmap(lambda c: st.tuples(st.integers(0, c), st.just(c))), max_size=8
)


@given(loads=loads, by_fill=st.booleans())
def test_the_whole_is_kept_within_the_capacities(
    loads: list[tuple[int, int]], by_fill: bool
) -> None:
    counts, capacities = [n for n, _ in loads], [c for _, c in loads]
    fair = fair_counts(counts, capacities, by_fill=by_fill)
    assert sum(fair) == sum(counts)
    assert all(n <= c for n, c in zip(fair, capacities, strict=True))
    assert fair_counts(fair, capacities, by_fill=by_fill) == fair


@given(loads=loads)
def test_equal_counts_differ_by_one_where_capacity_allows(loads: list[tuple[int, int]]) -> None:
    counts, capacities = [n for n, _ in loads], [c for _, c in loads]
    fair = fair_counts(counts, capacities, by_fill=False)
    roomy = [n for n, c in zip(fair, capacities, strict=True) if n < c]
    if roomy:
        assert max(fair) - min(roomy) <= 1


@pytest.mark.parametrize(
    ("counts", "capacities", "by_fill", "fair"),
    [
        ((3, 4, 3), (10, 10, 10), False, (3, 4, 3)),
        ((0, 0, 10), (10, 10, 10), False, (3, 3, 4)),
        ((30, 0), (20, 10), True, (20, 10)),
        ((15, 0), (20, 10), True, (10, 5)),
        ((10, 0), (10, 2), False, (8, 2)),
    ],
)
def test_examples(
    counts: tuple[int, ...], capacities: tuple[int, ...], by_fill: bool, fair: tuple[int, ...]
) -> None:
    assert fair_counts(counts, capacities, by_fill=by_fill) == fair
