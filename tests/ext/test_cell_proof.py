"""The two-copy cell in C: stress over processes, killed writers, and mutants."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, find_out, prove

CHECK = "return load_relaxed(&head->version) == before;"

MUTANTS = [
    pytest.param(
        Mutation("cell.h", CHECK, "return load_relaxed(&head->version) <= before + 1;"),
        id="one-version-later-is-fine",
    ),
    pytest.param(
        Mutation("cell.h", "cell_copy(cell, version + 1, ", "cell_copy(cell, version, "),
        id="rewrites-the-current-copy",
    ),
    pytest.param(Mutation("cell.h", CHECK, "return 1;"), id="no-validity-check"),
]


@pytest.mark.parametrize("start", [0, 2**32 - 50, 2**63 - 50])
@pytest.mark.parametrize("copy_bytes", [16, 320, 40_000])
def test_readers_see_whole_values(copy_bytes: int, start: int) -> None:
    writes = 100_000 if copy_bytes < 1000 else 4000
    options = {"copy_bytes": copy_bytes, "start": start, "writes": writes}
    numbers = prove("cell_proof", options)
    assert numbers["versions"] == writes
    assert numbers["read"] > 0


def test_writers_killed_at_random_instants() -> None:
    numbers = prove("cell_proof", {"kills": 200, "writes": 1000, "copy_bytes": 320})
    assert numbers["read"] > 0


def test_copies_that_stop_half_way() -> None:
    options = {"kills": 10, "writes": 2000, "copy_bytes": 704}
    prove("cell_proof", options, profile="slow-copy")


@pytest.mark.parametrize("mutation", MUTANTS)
def test_broken_cell_is_found_out(mutation: Mutation) -> None:
    options = {"copy_bytes": 320, "writes": 5000}
    assert "torn" in find_out("cell_proof", options, mutation)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("copy_bytes", [320, 40_000])
def test_many_kills(copy_bytes: int) -> None:
    options = {"kills": 5000, "writes": 200_000, "copy_bytes": copy_bytes, "deadline": 500}
    prove("cell_proof", options)
