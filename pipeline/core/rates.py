"""What a broker lets its REST clients do: classes of calls, and how many of each. Floor 1.

Types only. The numbers are in each broker's `limits.toml`, with their sources; who keeps to them
is `pipeline.planning.rate_limits`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Endpoint(StrEnum):
    """A class of calls that a broker counts together."""

    QUOTE = "quote"
    HISTORICAL = "historical"
    ORDER_PLACE = "order_place"
    ORDER_MODIFY = "order_modify"
    ORDER_CANCEL = "order_cancel"
    DEFAULT = "default"


class Scope(StrEnum):
    """Whose calls are counted together: another key of the same user helps only with KEY."""

    KEY = "key"
    USER = "user"


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointLimit:
    """How many calls of a class; None = no such limit is known."""

    scope: Scope
    requests_per_second: int
    requests_per_minute: int | None = None
    requests_per_day: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RestLimits:
    """A broker's limits of every class; `sources` names, per `class.key`, where each comes from.

    day_starts: when the day's count begins anew, in India's time. wait_s_max: a call that would
    have to wait longer for its turn is refused. instruments_per_call: {call: most instruments}.
    """

    endpoints: Mapping[Endpoint, EndpointLimit]
    instruments_per_call: Mapping[str, int]
    day_starts: datetime.time
    wait_s_max: float
    documentation_url: str
    sources: Mapping[str, str]
