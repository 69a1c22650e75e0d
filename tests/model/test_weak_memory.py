"""The machine that the models run on shows what weak machines show, and no more."""

from __future__ import annotations

import pytest

from tests.model.weak_memory import Memory, Step, Thread, Writer, executions, fence, load, store

START: Memory = {"data": 0, "flag": 0, "other": 0}
RELEASE, ACQUIRE = fence("release"), fence("acquire")


def outcomes(writing: list[Step], reading: list[Step]) -> set[tuple[object, ...]]:
    return {found for _, found in executions(Writer(START, writing), Thread(reading))}


@pytest.mark.parametrize(
    ("writing", "reading", "stale_data_is_possible"),
    [
        ([store("flag", 1, "release")], [load("flag", "acquire"), load("data")], False),
        ([store("flag", 1)], [load("flag", "acquire"), load("data")], True),
        ([store("flag", 1, "release")], [load("flag"), load("data")], True),
        ([RELEASE, store("flag", 1)], [load("flag"), ACQUIRE, load("data")], False),
        ([ACQUIRE, store("flag", 1)], [load("flag"), ACQUIRE, load("data")], True),
        ([RELEASE, store("flag", 1)], [load("flag"), RELEASE, load("data")], True),
    ],
)  # fmt: skip
def test_message_passing(
    writing: list[Step], reading: list[Step], stale_data_is_possible: bool
) -> None:
    found = outcomes([store("data", 1), *writing], reading)
    assert ((1, 0) in found) == stale_data_is_possible
    assert {(0, 0), (1, 1)} <= found


def test_one_location_never_goes_back() -> None:
    found = outcomes([store("data", 1), store("data", 2)], [load("data"), load("data")])
    assert found == {(a, b) for a in range(3) for b in range(a, 3)}


def test_what_follows_a_release_store_may_pass_it() -> None:
    writing = [store("flag", 1, "release"), store("other", 1)]
    assert (1, 0) in outcomes(writing, [load("other", "acquire"), load("flag")])


def test_wrong_guesses_are_dropped() -> None:
    reading = [load("flag", "acquire", guess=(1,)), load("data")]
    assert outcomes([store("data", 1), store("flag", 1, "release")], reading) == {(1, 1)}
