"""The two-thread builds under ThreadSanitizer: no report, and a report when words are plain."""

from __future__ import annotations

import pytest

from tests.ext.native_build import RACE_REPORTED, prove, run

SMALL = [
    pytest.param("ring_proof", {"records": 200_000, "length_max": 64}, id="ring"),
    pytest.param("ring_proof", {"records": 50_000, "capacity": 5, "area": 136}, id="small-ring"),
    pytest.param("stream_proof", {"records": 200_000}, id="stream"),
    pytest.param("cell_proof", {"writes": 20_000}, id="cell"),
    pytest.param("bell_proof", {"rounds": 5000}, id="bell"),
    pytest.param("bell_proof", {"rounds": 1000, "producers": 2, "consumers": 3}, id="bell-crowd"),
]


@pytest.mark.parametrize(("proof", "options"), SMALL)
def test_no_race_is_reported(proof: str, options: dict[str, int]) -> None:
    prove(proof, options, profile="race")


@pytest.mark.parametrize("proof", ["ring_proof", "stream_proof", "cell_proof"])
def test_plain_words_are_reported(proof: str) -> None:
    """The same programs without atomic words: a blind sanitizer would find nothing here."""
    for seed in range(1, 20):
        outcome = run(proof, {"seed": seed}, profile="plain-words")
        if outcome.code != 0:
            assert outcome.code == RACE_REPORTED, outcome.complaint
            assert "data race" in outcome.complaint
            return
    pytest.fail("ThreadSanitizer did not see plain words")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("proof", "options"),
    [
        pytest.param("ring_proof", {"records": 20_000_000, "length_max": 64}, id="ring"),
        pytest.param("stream_proof", {"records": 20_000_000}, id="stream"),
        pytest.param("cell_proof", {"writes": 2_000_000}, id="cell"),
        pytest.param("bell_proof", {"rounds": 200_000}, id="bell"),
    ],
)
def test_no_race_in_twenty_million_records(proof: str, options: dict[str, int]) -> None:
    prove(proof, options | {"deadline": 800}, profile="race")
