"""Rows of the supervisor's page, given out and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import layout
from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import parse
from pipeline.core.enums import Role, SegmentKind
from pipeline.core.errors import CapacityError
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.roster import Roster

LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
TEXT = """
[[account]]
name = "a"
url = "simulator"
api_key = "demo"
[simulator]
[pool]
"""


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    paths = InstancePaths("test", tmp_path)
    paths.make()
    segment = Segment.create(
        paths.segment(SegmentKind.SUPERVISOR_STATUS),
        specs.supervisor_status(),
        instance_id=bytes(16),
    )
    return Roster(parse(TEXT, limits=LIMITS), paths, StatusPage(segment))


def test_a_row_that_was_given_back_is_given_out_again(roster: Roster) -> None:
    first, second = roster.add(Role.FACADE, 1), roster.add(Role.FACADE, 2)
    page = roster.page.record
    assert page["process_count"] == 2
    roster.remove(first)
    assert page["processes"]["number"][:2].tolist() == [0, 2]
    roster.add(Role.FACADE, 3)
    assert page["processes"]["number"][:2].tolist() == [3, 2]
    assert page["process_count"] == 2
    assert second.name == "facade 2"


def test_no_more_members_than_rows(roster: Roster) -> None:
    for number in range(layout.supervised_processes):
        roster.add(Role.FACADE, number)
    with pytest.raises(CapacityError, match="at most 512"):
        roster.add(Role.FACADE, 0)
