"""Exactly once over any number of deaths: the commit protocol, and each of its rules."""

from __future__ import annotations

import pytest

from tests.model.commit_graph import Violation, explore
from tests.model.commit_model import Rules


def test_nothing_is_lost_doubled_torn_or_miscounted() -> None:
    states = explore(Rules())
    print(f"{states} states")
    assert states > 1000


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        pytest.param(Rules(retire_first=False), "readable slot", id="oldest-after-the-slots"),
        pytest.param(Rules(recheck=False), "torn", id="no-second-look"),
        pytest.param(Rules(flip_before_latest=False), "ahead of the commit", id="latest-first"),
        pytest.param(
            Rules(flip_before_tails=False),
            "another tick|doubled|missing|latest",
            id="tails-before-the-flip",
        ),
        pytest.param(Rules(events_before_ticks=False), "overtakes", id="ticks-before-events"),
        pytest.param(Rules(bell_last=False), "not woken", id="bell-before-tails"),
        pytest.param(Rules(roll_forward=False), "missing|differs|not woken", id="no-roll-forward"),
        pytest.param(Rules(roll_forward_skips_newer=False), "goes back", id="latest-goes-back"),
        pytest.param(Rules(roll_forward_rings=False), "not woken", id="successor-does-not-ring"),
        pytest.param(Rules(counters_in_block=False), "counters", id="counters-elsewhere"),
        pytest.param(Rules(bases_rebuilt=False), "wrong base", id="bases-kept"),
    ],
)
def test_without_a_rule_there_is_a_counterexample(rules: Rules, complaint: str) -> None:
    with pytest.raises(Violation, match=complaint):
        explore(rules)
