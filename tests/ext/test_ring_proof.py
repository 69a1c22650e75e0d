"""The frame ring in C: stress over processes, killed writers, crash points, and mutants."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, find_out, prove

NEAR_2_32 = 2**32 - 50
NEAR_2_63 = 2**63 - 50

SHAPES = [
    pytest.param({}, id="usual"),
    pytest.param({"capacity": 2, "area": 64}, id="smallest"),
    pytest.param({"capacity": 7, "area": 72}, id="barely-above-four-messages"),
    pytest.param({"capacity": 1021, "area": 4104}, id="odd-capacity"),
    pytest.param({"capacity": 3, "area": 1 << 20}, id="index-shorter-than-area"),
    pytest.param({"capacity": 64, "area": 400_000, "records": 20_000}, id="large-messages"),
    pytest.param({"start": NEAR_2_32, "capacity": 13}, id="from-below-2-32"),
    pytest.param({"start": NEAR_2_63, "capacity": 13}, id="from-below-2-63"),
]

MUTANTS = [
    pytest.param(
        Mutation("ring.h", "return sequence >= load_relaxed(&ring->control->oldest);", "return 1;"),
        {},
        id="no-validity-check",
    ),
    pytest.param(
        Mutation("ring.h", "end - area_bytes) oldest++;", "0) oldest++;"),
        {},
        id="bytes-not-given-up",
    ),
    pytest.param(
        Mutation("ring.h", "writer->tail + 1 - capacity;", "writer->tail - capacity;"),
        {"capacity": 2},
        id="one-entry-too-late",
    ),
    pytest.param(
        Mutation("ring.h", "round_up(last->position + last->length, 8);", "0;"),
        {},
        id="successor-forgets-its-place",
    ),
    pytest.param(
        Mutation("ring.h", "load_relaxed(&ring->control->oldest);\n    w", "0;\n    w"),
        {},
        id="successor-forgets-oldest",
    ),
    pytest.param(
        Mutation("ring.h", "bytes = writer->ring.area_bytes / 8;", "bytes = UINT64_MAX;"),
        {},
        id="batch-larger-than-the-ring",
    ),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_readers_get_exactly_what_was_written(shape: dict[str, int]) -> None:
    numbers = prove("ring_proof", {"records": 100_000} | shape)
    assert numbers["delivered"] > 0
    assert numbers["lost"] > 0, "the slow readers were never lapped, so nothing was proved"


@pytest.mark.parametrize("start", [0, NEAR_2_32, NEAR_2_63])
def test_writers_killed_at_random_instants(start: int) -> None:
    options = {"kills": 60, "start": start, "records": 20_000, "seed": 1 + start % 97}
    numbers = prove("ring_proof", options)
    assert numbers["delivered"] > 0 and numbers["states"] > 0


@pytest.mark.parametrize("area", [64, 8192])
def test_writers_killed_at_every_crash_point(area: int) -> None:
    """Five points, each at its 1st to 40th passage; the heir appends and a successor goes on."""
    options = {"crashes": 40, "records": 4000, "area": area, "capacity": 5}
    numbers = prove("ring_proof", options, profile="crash")
    assert numbers["delivered"] > 0


def test_copies_that_stop_half_way() -> None:
    options = {"kills": 20, "records": 8000, "deadline": 60}
    prove("ring_proof", options, profile="slow-copy")


@pytest.mark.parametrize(("mutation", "shape"), MUTANTS)
def test_broken_ring_is_found_out(mutation: Mutation, shape: dict[str, int]) -> None:
    options = {"kills": 20, "records": 10_000, "area": 1024, "deadline": 20} | shape
    assert "FAILED" in find_out("ring_proof", options, mutation)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", SHAPES)
def test_many_records_and_kills(shape: dict[str, int]) -> None:
    prove("ring_proof", {"kills": 1000, "deadline": 500} | shape | {"records": 5_000_000})


@pytest.mark.full
@pytest.mark.timeout(600)
def test_crash_points_at_many_passages() -> None:
    options = {"crashes": 1000, "records": 100_000, "area": 1024, "capacity": 9, "deadline": 500}
    prove("ring_proof", options, profile="crash")
