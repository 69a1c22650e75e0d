"""What a turn costs that a call of the broker's REST waits for.

    acquire -> [the HTTP call] -> counted        and, where others wait, each look whether it is due

A regression here delays nothing that anybody would notice (a call takes milliseconds) until many
callers wait together: the control process has one governor for all of them, behind one lock.
"""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.figures import CPU_TIME, Meter
from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.core.rates import Endpoint, EndpointLimit, RestLimits, Scope
from pipeline.planning.rate_limits import SECOND_NS, Now, RateLimiter, Turn
from pipeline.rest.governor import Governor

pytestmark = CPU_TIME
CALLS = 5000
WAITING = 300


def limits(per_second: int, **windows: int) -> RestLimits:
    limit = EndpointLimit(scope=Scope.KEY, requests_per_second=per_second, **windows)
    return dataclasses.replace(
        REST_LIMITS, endpoints={**REST_LIMITS.endpoints, Endpoint.DEFAULT: limit}
    )


@pytest.mark.parametrize("windows", [{}, {"requests_per_minute": 10**8, "requests_per_day": 10**8}])
def test_free_turn(meter: Meter, windows: dict[str, int]) -> None:
    governor = Governor(limits(10**8, **windows))

    def run() -> None:
        for _ in range(CALLS):
            with governor.going(governor.acquire(Endpoint.DEFAULT, key="k")):
                pass

    names = ", ".join(["second", *(name.rpartition("_")[2] for name in windows)])
    meter.measure(
        run, units=CALLS, case=f"free, limits per {names}",
        group="governor: one turn", unit="ns/call",
    )  # fmt: skip


def test_turn_in_a_queue(meter: Meter) -> None:
    limiter = RateLimiter(limits(10))
    now = Now(0, 0)
    for _ in range(10):
        turn = limiter.reserve(Endpoint.DEFAULT, key="k", user="", now=now)
        assert isinstance(turn, Turn) and limiter.start(turn, now) == 0
        limiter.finish(turn, now)
    waiting = [limiter.reserve(Endpoint.DEFAULT, key="k", user="", now=now) for _ in range(WAITING)]

    def run() -> None:
        for turn in waiting:
            assert isinstance(turn, Turn)
            wait_ns = limiter.start(turn, now)
            assert isinstance(wait_ns, int) and wait_ns >= SECOND_NS

    meter.measure(
        run, units=WAITING, case=f"a look by each of {WAITING} that wait",
        group="governor: one turn", unit="ns/call",
    )  # fmt: skip
