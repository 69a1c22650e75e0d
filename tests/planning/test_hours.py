"""The table of hours, in India's time whatever the host's zone."""

from __future__ import annotations

import datetime

import pytest

from pipeline.core.clock import IST
from pipeline.core.config import HoursConfig
from pipeline.planning.hours import in_session

HOURS = HoursConfig(holidays=(datetime.date(2026, 1, 26),), extra_days=(datetime.date(2026, 2, 1),))


def at(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=IST)
    return int(moment.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-05T09:14:59", False),
        ("2026-01-05T09:15:00", True),
        ("2026-01-05T15:29:59", True),
        ("2026-01-05T15:30:00", False),
        ("2026-01-04T11:00:00", False),  # a Sunday
        ("2026-02-01T11:00:00", True),  # a Sunday with a session
        ("2026-01-26T11:00:00", False),  # a holiday on a Monday
    ],
)
def test_a_moment_is_in_session_by_the_table(moment: str, expected: bool) -> None:
    assert in_session(HOURS, at(moment)) is expected


def test_always_is_always() -> None:
    assert in_session(None, 0)
