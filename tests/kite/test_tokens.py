"""Instrument tokens and modes as users give them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.enums import Mode
from pipeline.kite.tokens import as_modes, as_tokens


def test_what_counts_as_a_list_of_tokens() -> None:
    given = [408065, np.uint32(738561), np.int64(265), True]
    for tokens in (given, tuple(given), iter(given)):
        assert as_tokens(tokens) == [408065, 738561, 265, 1]
    assert as_tokens(np.array([5, 6], np.uint32)) == [5, 6]
    assert as_tokens([]) == []


@pytest.mark.parametrize("tokens", ["408065", 408065, ["408065"], [1.5], [None], b"ab"])
def test_what_is_no_token_is_a_type_error(tokens: object) -> None:
    with pytest.raises(TypeError, match="expected"):
        as_tokens(tokens)  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [0, -1, 2**32, np.int64(-5)])
def test_what_no_token_can_be_is_a_value_error(token: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 4294967295"):
        as_tokens([token])


def test_modes_by_their_words() -> None:
    assert as_modes({1: "ltp", 2: "full"}) == {1: Mode.LTP, 2: Mode.FULL}
