"""The two clocks, and how times look to a person. Floor 1.

Monotonic nanoseconds are for every timer, age and latency; UTC nanoseconds for stamps. India's
time zone has had no daylight saving since 1945, so it is a fixed offset here and the host's own
zone and tz database play no part.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")

monotonic_ns = time.monotonic_ns
real_ns = time.time_ns


def ist(ts_ns: int) -> datetime:
    """Return UTC nanoseconds as an aware datetime in India's zone, to the microsecond below."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=ts_ns // 1000)).astimezone(IST)


def format_ist(ts_ns: int) -> str:
    """Return `2026-01-05 09:15:00.250 IST`; a dash for 0, which means none."""
    if ts_ns == 0:
        return "-"
    moment = ist(ts_ns)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} IST"


def format_ist_time(ts_ns: int) -> str:
    """Return `09:15:00.250`, in India's zone; a dash for 0."""
    return "-" if ts_ns == 0 else format_ist(ts_ns)[11:23]
