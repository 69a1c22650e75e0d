"""Requests read leniently, answers written strictly."""

from __future__ import annotations

import pytest

from pipeline.services.gateway.messages import read_mode


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        (1, 1), (2, 2), (3, 3), ("LTP", 1), (" quote ", 2), ("Depth", 3), ("1", 1), ("3", 3),
        (0, None), (4, None), (True, None), (1.0, None), ("", None), ("full", None), ([], None),
        ({}, None), (2**70, None), ("x" * 10_000, None),
    ],
)  # fmt: skip
def test_modes(written: object, mode: int | None) -> None:
    assert read_mode(written) == mode
