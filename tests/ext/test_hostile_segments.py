"""No content of a segment makes a reader, or the heir of a writer, leave its map or stand still."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, prove, run

ADDRESS_REPORTED, STATED, HUNG = 67, 1, 3

MUTANTS = [
    pytest.param(
        Mutation("ring.h", "if (descriptor->length > ring->area_bytes || ", "if (0 && "),
        ADDRESS_REPORTED,
        id="length-not-bounded",
    ),
    pytest.param(
        Mutation("stream.h", "if (count > stream->capacity) return 0;", ""),
        ADDRESS_REPORTED,
        id="count-not-bounded",
    ),
    pytest.param(
        Mutation("ring.h", "area_bytes) > mapped_bytes) return 0;", "area_bytes) == 1) return 0;"),
        ADDRESS_REPORTED,
        id="header-not-bounded",
    ),
    pytest.param(
        Mutation("ring.h", "return resume > cursor ? resume : cursor + 1;", "return resume;"),
        STATED,
        id="lapped-reader-stands-still",
    ),
    pytest.param(
        Mutation("ring.h", "writer->tail - oldest >= cap", "writer->tail + 1 - oldest > cap"),
        HUNG,
        id="heir-walks-for-ever",
    ),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_no_report_under_the_address_sanitizer(seed: int) -> None:
    numbers = prove("hostile_proof", {"rounds": 20_000, "seed": seed}, profile="sanitize")
    assert numbers["viewed"] > 0 and numbers["bytes"] > 0


@pytest.mark.parametrize(("mutation", "code"), MUTANTS)
def test_missing_bound_is_reported(mutation: Mutation, code: int) -> None:
    # What hangs does so before the first round; what is only slow must not look like it.
    options = {"rounds": 1, "deadline": 4} if code == HUNG else {"rounds": 200_000, "deadline": 100}
    outcome = run("hostile_proof", options, profile="sanitize", mutation=mutation)
    assert outcome.code == code, outcome.complaint


@pytest.mark.full
@pytest.mark.timeout(600)
def test_millions_of_hostile_segments() -> None:
    options = {"rounds": 2_000_000, "seed": 7, "deadline": 500}
    prove("hostile_proof", options, profile="sanitize")
