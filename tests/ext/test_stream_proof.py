"""Tick and event streams in C: stress over processes, killed writers, and mutants."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, find_out, prove

SHAPES = [
    pytest.param({}, id="ticks"),
    pytest.param({"events": 1}, id="events"),
    pytest.param({"capacity": 512}, id="two-units"),
    pytest.param({"capacity": 777, "start": 2**32 - 50}, id="from-below-2-32"),
    pytest.param({"capacity": 513, "start": 2**63 - 50, "events": 1}, id="from-below-2-63"),
]

MUTANTS = [
    pytest.param(
        Mutation("stream.h", "oldest, tail + UNIT_RECORDS - stream", "oldest, tail - stream"),
        id="gives-up-too-late",
    ),
    pytest.param(
        Mutation("stream.h", "sequence >= load_relaxed(&stream->control->oldest)", "1"),
        id="no-validity-check",
    ),
    pytest.param(
        Mutation("stream.h", "> oldest + stream->capacity)", "> stream->capacity && random() % 2)"),
        id="forgets-at-times",
    ),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_readers_get_exactly_what_was_published(shape: dict[str, int]) -> None:
    numbers = prove("stream_proof", {"records": 200_000} | shape)
    assert numbers["delivered"] > 0
    assert numbers["lost"] > 0, "the slow readers were never lapped, so nothing was proved"


@pytest.mark.parametrize("start", [0, 2**32 - 50, 2**63 - 50])
def test_writers_killed_at_random_instants(start: int) -> None:
    options = {"kills": 60, "start": start, "records": 20_000, "seed": 1 + start % 97}
    assert prove("stream_proof", options)["delivered"] > 0


def test_copies_that_stop_half_way() -> None:
    options = {"kills": 10, "records": 8000, "deadline": 60}
    prove("stream_proof", options, profile="slow-copy")


@pytest.mark.parametrize("mutation", MUTANTS)
def test_broken_stream_is_found_out(mutation: Mutation) -> None:
    options = {"capacity": 600, "records": 8000}
    assert "FAILED" in find_out("stream_proof", options, mutation)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", SHAPES)
def test_many_records_and_kills(shape: dict[str, int]) -> None:
    prove("stream_proof", {"kills": 1000, "deadline": 500} | shape | {"records": 10_000_000})
