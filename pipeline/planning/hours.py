"""Whether ticks are due at a moment, by the config's table of hours. Floor 2; pure."""

from __future__ import annotations

from typing import Final

from pipeline.core.clock import ist
from pipeline.core.config import HoursConfig

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def in_session(hours: HoursConfig | None, ts_ns: int) -> bool:
    """Return whether the exchange is open at a UTC time; None = always.

    A day that the table does not name has no session, which is the softest limit: nothing is
    expected, and nothing is alarmed about.
    """
    if hours is None:
        return True
    moment = ist(ts_ns)
    day = moment.date()
    is_trading_day = day not in hours.holidays and _DAYS[day.weekday()] in hours.days
    if not is_trading_day and day not in hours.extra_days:
        return False
    return hours.open <= moment.time() < hours.close
