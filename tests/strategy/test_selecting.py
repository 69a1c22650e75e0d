"""Which tokens are among others, as numpy.isin has it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import layout
from pipeline.strategy.selecting import is_among, ticks_of

TOKENS = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 20), max_size=40)


@given(TOKENS, TOKENS)
def test_it_is_what_isin_says(tokens: list[int], wanted: list[int]) -> None:
    values = np.array(tokens, np.uint32)
    among = np.array(sorted(wanted), np.uint32)
    assert is_among(values, among).tolist() == np.isin(values, among).tolist()


def test_ticks_are_copied_whole() -> None:
    ticks = np.zeros(4, layout.tick_dtype)
    ticks["instrument_token"], ticks["last_price"] = [5, 6, 5, 7], [1, 2, 3, 4]
    found = ticks_of(ticks, np.array([5, 7], np.uint32))
    assert found.dtype == ticks.dtype
    assert found["last_price"].tolist() == [1, 3, 4]
    assert not np.shares_memory(found, ticks)
    assert len(ticks_of(ticks, np.empty(0, np.uint32))) == 0
