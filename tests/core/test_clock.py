"""Times as a person reads them do not depend on the host's zone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pipeline.core import clock

# 2021-07-05 10:41:27 in India, as in the broker's documentation.
MOMENT_NS = 1_625_461_887_250_999_999


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York", "Asia/Kathmandu"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_zone")
def test_india_time_in_every_zone() -> None:
    assert clock.format_ist(MOMENT_NS) == "2021-07-05 10:41:27.250 IST"
    assert clock.format_ist_time(MOMENT_NS) == "10:41:27.250"
    assert clock.ist(MOMENT_NS).microsecond == 250_999


def test_zero_is_no_time() -> None:
    assert clock.format_ist(0) == clock.format_ist_time(0) == "-"


def test_units() -> None:
    assert clock.NS_PER_S == 1000 * clock.NS_PER_MS == 1_000_000 * clock.NS_PER_US
