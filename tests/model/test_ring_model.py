"""The ring rule, exhaustively: a writer, one killed after any store, its successor, a reader.

No reader takes a torn or foreign record, none is sent backwards or beyond what is written, so
that delivered + lost = written; `oldest` never goes back. Each rule that is left out is missed.
"""

from __future__ import annotations

import pytest

from tests.model.ring_model import Ring, Rules, fault, frames, stream

RINGS = {
    "single-records": stream(capacity=2, unit=1, units=(1,) * 4, words=2, start=0),
    "odd-capacity": stream(capacity=3, unit=1, units=(1,) * 5, words=2, start=2**32 - 2),
    "units": stream(capacity=4, unit=2, units=(2, 1, 2, 2), words=1, start=2**63 - 3),
    "frames": frames(capacity=3, area=4, lengths=(1, 1, 1, 1, 1, 1), start=0),
    "frames-that-move": frames(capacity=5, area=8, lengths=(2, 2, 1, 2, 2, 1), start=2**32 - 3),
    "frames-in-batches": frames(
        capacity=5, area=8, lengths=(1, 2, 1, 1, 2, 1, 1), start=0, batch=2, ahead=2
    ),
    "frames-given-up-ahead": frames(capacity=4, area=16, lengths=(1,) * 8, start=0, ahead=2),
    "frames-and-states": frames(capacity=2, area=4, lengths=(1, 0, 1, 0, 1), start=2**63 - 2),
}
LARGE = {"frames-that-move"}  # ten seconds of states


@pytest.mark.parametrize(
    "ring",
    [
        pytest.param(ring, id=name, marks=[pytest.mark.full] if name in LARGE else [])
        for name, ring in RINGS.items()
    ],
)
def test_no_reader_is_misled(ring: Ring) -> None:
    assert fault(ring, Rules(), deaths=1) is None


@pytest.mark.parametrize("name", ["single-records", "odd-capacity", "units", "frames-and-states"])
def test_no_reader_is_misled_by_two_deaths(name: str) -> None:
    assert fault(RINGS[name], Rules(), deaths=2) is None


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["frames", "frames-that-move", "frames-in-batches"])
def test_no_reader_of_frames_is_misled_by_two_deaths(name: str) -> None:
    assert fault(RINGS[name], Rules(), deaths=2) is None


@pytest.mark.parametrize("name", ["odd-capacity", "frames-and-states"])
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(writer_fence=False), id="writer-without-fence"),
        pytest.param(Rules(tail_store="relaxed"), id="tail-not-released"),
        pytest.param(Rules(tail_load="relaxed"), id="tail-not-acquired"),
        pytest.param(Rules(reader_fence=False), id="reader-without-fence"),
        pytest.param(Rules(look_at_oldest=False), id="no-look-at-oldest"),
        pytest.param(Rules(oldest_first=False), id="oldest-after-the-data"),
    ],
)
def test_without_a_rule_there_is_a_counterexample(name: str, rules: Rules) -> None:
    assert fault(RINGS[name], rules, deaths=1) is not None


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        pytest.param("single-records", Rules(oldest_enough=False), id="one-record-too-late"),
        pytest.param("frames", Rules(oldest_enough=False), id="one-entry-too-late"),
        pytest.param("frames-that-move", Rules(bytes_given_up=False), id="bytes-not-given-up"),
        pytest.param("frames-given-up-ahead", Rules(oldest_inherited=False), id="oldest-forgotten"),
        pytest.param(
            "frames-that-move",
            Rules(place_inherited=False),
            id="successor-starts-at-0",
            marks=pytest.mark.full,
        ),
    ],
)
def test_without_a_rule_of_its_own_there_is_a_counterexample(name: str, rules: Rules) -> None:
    assert fault(RINGS[name], rules, deaths=1) is not None
