"""A move in every order of its steps, a decoder dead in any of them: each state comes once.

Without the step in which the old connection lets go, an instrument stays on both.

`move_schedules.py` says what the steps are. All that a failing case takes is its schedule, which
the message has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.feed.lane_rig import TOKENS, LaneRig
from tests.feed.move_schedules import NEW, OLD, Schedule, Schedules, schedules
from tests.feed.moving import MOVE_AND_DIE
from tests.feed.test_decoder_crashes import DECODING, Killer

#: Around each commit: what a unit that repeats confirms, the commit itself, and what follows it.
AROUND = ["confirm_after_epoch", "commit_before_flip", "commit_after_flip", "latest_after_slot"]
AROUND += ["latest_after_all", "tails_after_ticks"]


def assert_each_once(
    cases: Iterable[Schedule],
    folder: Path,
    die: Callable[[LaneRig], int] | None = None,
    *,
    returns: bool = False,
) -> int:
    """Play them, on new segments whenever the instruments are used up; return how many counted."""
    played, pending = 0, iter(cases)
    while batch := list(islice(pending, len(TOKENS) - 1)):
        with TemporaryDirectory(dir=folder) as directory:
            rig = Schedules(Path(directory), returns=returns)
            for case in batch:
                delivered = rig.play(case, die)
                if delivered is None:
                    continue
                played += 1
                counts = Counter([*delivered[OLD], *delivered[NEW]])
                states = range(0 if returns else 1, case.states + 1)
                assert counts == Counter(states), f"{case}: {delivered}"
    return played


RETURNS = pytest.mark.parametrize("returns", [False, True], ids=["came", "comes back"])


@RETURNS
@pytest.mark.parametrize(("changes", "dead_max", "every"), [("", 3, 1), ("c", 1, 3), ("ct", 2, 41)])
def test_each_state_comes_once_in_whatever_order(
    changes: str, dead_max: int, every: int, returns: bool, tmp_path: Path
) -> None:
    cases = islice(schedules(3, changes, dead_max=dead_max), 0, None, every)
    assert assert_each_once(cases, tmp_path, returns=returns) > 400


@pytest.mark.full
@pytest.mark.timeout(900)
@RETURNS
@pytest.mark.parametrize(
    ("states", "changes", "dead_max", "every"),
    [(5, "", 1, 1), (3, "ct", 2, 1), (4, "c", 2, 1), (3, "ctu", 3, 17), (4, "ct", 2, 17)],
)
def test_each_state_comes_once_in_every_order(
    states: int, changes: str, dead_max: int, every: int, returns: bool, tmp_path: Path
) -> None:
    cases = islice(schedules(states, changes, dead_max=dead_max), 0, None, every)
    assert assert_each_once(cases, tmp_path, returns=returns) > 4000


# ---- deaths within a step ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer(MOVE_AND_DIE)
    yield killer
    killer.close()


def deadly(states: int) -> Iterator[Schedule]:
    """Yield those in which the decoder dies of a frame."""
    for case in schedules(states, "c", dead_max=2):
        if case.steps[case.dies : case.dies + 1] in ("o", "n"):
            yield case


@pytest.mark.parametrize("point", AROUND)
def test_each_state_comes_once_if_the_decoder_dies_of_a_frame(
    point: str, tmp_path: Path, killer: Killer
) -> None:
    die = partial(killer.die_at, point=point, passage=1)
    cases = islice(deadly(2), AROUND.index(point), None, 11)
    assert assert_each_once(cases, tmp_path, die) > 10


def test_a_row_that_the_decoder_died_in_tells_since_when(tmp_path: Path, killer: Killer) -> None:
    """Its time is there, and the old connection lets go by it; its epoch and mode are not."""
    case = Schedule(states=2, begins=1, steps="oncno", dies=1, opens=2)
    die = partial(killer.die_at, point="confirm_after_token", passage=1)
    assert assert_each_once([case], tmp_path, die) == 1


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", DECODING)
def test_each_state_comes_once_whatever_the_decoder_dies_of(
    point: str, tmp_path: Path, killer: Killer
) -> None:
    die = partial(killer.die_at, point=point, passage=1)
    assert assert_each_once(deadly(2), tmp_path, die) > 100
    assert assert_each_once(islice(deadly(3), 0, None, 23), tmp_path, die) > 50
