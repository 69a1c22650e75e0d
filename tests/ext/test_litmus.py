"""Litmus tests of the fences on this machine, each with the control that shows it can fail."""

from __future__ import annotations

import os

import pytest

from tests.ext.native_build import prove

MESSAGE_PASSING, RING_RULE, STORE_BUFFERING = 0, 1, 2
needs_two_processors = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2 if hasattr(os, "sched_getaffinity") else True,
    reason="a litmus control needs two processors",
)


@pytest.mark.parametrize(
    ("shape", "rounds"),
    [
        pytest.param(MESSAGE_PASSING, 2_000_000, id="message-passing"),
        pytest.param(RING_RULE, 2_000_000, id="ring-rule"),
        pytest.param(STORE_BUFFERING, 20_000, id="store-buffering"),
    ],
)
def test_forbidden_outcome_never_occurs(shape: int, rounds: int) -> None:
    numbers = prove("litmus_proof", {"shape": shape, "rounds": rounds, "seconds": 5})
    assert numbers["forbidden"] == 0
    assert numbers["accepted"] > 0


@needs_two_processors
@pytest.mark.parametrize("shape", [RING_RULE, STORE_BUFFERING])
def test_without_the_guard_it_does(shape: int) -> None:
    """Without the look at oldest, and without the full fence, the outcome shows within seconds."""
    options = {"shape": shape, "rounds": 3_000_000, "guard": 0, "seconds": 20}
    numbers = prove("litmus_proof", options)
    assert numbers["forbidden"] > 0


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", [MESSAGE_PASSING, RING_RULE, STORE_BUFFERING])
def test_forbidden_outcome_in_many_rounds(shape: int) -> None:
    rounds = 2_000_000 if shape == STORE_BUFFERING else 100_000_000
    numbers = prove("litmus_proof", {"shape": shape, "rounds": rounds, "seconds": 50})
    assert numbers["forbidden"] == 0
