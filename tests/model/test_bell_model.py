"""The bell, exhaustively: nobody sleeps through a ring, and why each of its rules is there."""

from __future__ import annotations

import pytest

from tests.model.bell_model import Bell, Rules


@pytest.mark.parametrize(("writers", "readers"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_no_wake_up_is_lost(writers: int, readers: int) -> None:
    bell = Bell(Rules(), writers=writers, readers=readers)
    assert not bell.sleepers_forever()
    print(f"{bell.states} states")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_wake_up_of_three_writers_is_lost() -> None:
    assert not Bell(Rules(), writers=3, readers=1).sleepers_forever()


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(writer_fence=False), id="writer-without-fence"),
        pytest.param(Rules(reader_fence=False), id="reader-without-fence"),
        pytest.param(Rules(clear_before_word=False), id="word-before-the-mark-is-cleared"),
        pytest.param(Rules(word_before_look=False), id="word-read-after-the-look"),
        pytest.param(Rules(second_look=False), id="no-second-look"),
    ],
)
def test_without_a_rule_a_wake_up_is_lost(rules: Rules) -> None:
    assert Bell(rules, writers=2, readers=1).sleepers_forever()


def test_a_writer_that_dies_can_take_a_wake_up_along() -> None:
    """The reason for the timeout of every wait: the mark is cleared, and nobody wakes."""
    assert Bell(Rules(writers_may_die=True), writers=2, readers=1).sleepers_forever()
