"""What may be written for an instrument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.strategy.forms import as_forms


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        (408065, [408065]),
        ("NSE:INFY", ["NSE:INFY"]),
        ("408065", [408065]),
        ([408065, "NSE:INFY", 7], [408065, "NSE:INFY", 7]),
        (np.array([1, 2], np.uint32), [1, 2]),
        (range(1, 3), [1, 2]),
        ((token for token in (1, 2)), [1, 2]),
        ([], []),
        (2**32 - 1, [2**32 - 1]),
    ],
)
def test_forms(written: Any, understood: list[int | str]) -> None:
    found = as_forms(written)
    assert found == understood
    assert all(type(form) in (int, str) for form in found)


@pytest.mark.parametrize(
    "wrong", [0, -1, 2**32, True, "", "x" * 201, "0", [[1]], 1.0, b"INFY", None]
)
def test_what_names_no_instrument(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="expected"):
        as_forms(wrong)
