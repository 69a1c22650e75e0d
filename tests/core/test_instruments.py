"""The simulated exchange's list of instruments."""

from __future__ import annotations

import pytest

from pipeline.core import instruments
from pipeline.core.instruments import simulated_token, simulated_tokens


def test_tokens_are_unique_positive_and_fit_31_bits() -> None:
    tokens = simulated_tokens(0, 20_000)
    assert len(set(tokens)) == 20_000
    assert all(0 < token < 2**31 for token in tokens)
    assert simulated_token(instruments.SIMULATED_INSTRUMENTS_MAX - 1) < 2**31


def test_real_instruments_come_first() -> None:
    assert {408065, 884737, 738561, 256265} <= set(simulated_tokens(0, 6))


def test_every_segment_with_a_divisor_of_its_own_occurs() -> None:
    segments = {token & 0xFF for token in simulated_tokens(0, 40)}
    assert segments == {1, 2, 3, 4, 5, 6, 7, 9, 12}


def test_ranges_join() -> None:
    assert simulated_tokens(0, 10) + simulated_tokens(10, 5) == simulated_tokens(0, 15)


@pytest.mark.parametrize("index", [-1, instruments.SIMULATED_INSTRUMENTS_MAX])
def test_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to"):
        simulated_token(index)
