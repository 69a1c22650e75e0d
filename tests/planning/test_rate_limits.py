"""Turns in a lane: windows that are never exceeded, order, refusals, 429, the day, the counters."""

from __future__ import annotations

import dataclasses
import datetime
import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.core.rates import Endpoint, EndpointLimit, RestLimits, Scope
from pipeline.planning.rate_limits import MINUTE_NS, SECOND_NS, Now, RateLimiter, Refusal, Turn

#: 2026-01-05 12:00 in India.
NOON_NS: Final = int(datetime.datetime(2026, 1, 5, 6, 30, tzinfo=datetime.UTC).timestamp()) * 10**9
MS: Final = 1_000_000


def at(ms: float) -> Now:
    return Now(int(ms * MS), NOON_NS + int(ms * MS))


def with_limit(endpoint: Endpoint = Endpoint.QUOTE, **numbers: object) -> RestLimits:
    limit = EndpointLimit(**{"scope": Scope.KEY, "requests_per_second": 1, **numbers})
    return dataclasses.replace(REST_LIMITS, endpoints={**REST_LIMITS.endpoints, endpoint: limit})


def reserve(limiter: RateLimiter, ms: float, endpoint: Endpoint = Endpoint.QUOTE) -> Turn:
    turn = limiter.reserve(endpoint, key="k", user="u", now=at(ms))
    assert isinstance(turn, Turn)
    return turn


def go(limiter: RateLimiter, ms: float, endpoint: Endpoint = Endpoint.QUOTE) -> Turn:
    turn = reserve(limiter, ms, endpoint)
    assert limiter.start(turn, at(ms)) == 0
    return turn


def test_a_token_comes_back_a_second_after_the_answer() -> None:
    limiter = RateLimiter(REST_LIMITS)
    first, second = reserve(limiter, 0), reserve(limiter, 0)
    assert (first.wait_ns, second.wait_ns) == (0, SECOND_NS)
    assert limiter.start(first, at(0)) == 0
    limiter.finish(first, at(50))
    assert limiter.start(second, at(1000)) == 50 * MS
    assert limiter.start(second, at(1050)) == 0


def test_a_call_without_an_answer_keeps_its_token() -> None:
    limiter = RateLimiter(REST_LIMITS)
    first, second = go(limiter, 0), reserve(limiter, 0)
    assert limiter.start(second, at(5000)) == SECOND_NS
    limiter.finish(first, at(5100))
    assert limiter.start(second, at(6100)) == 0


def test_a_burst_takes_the_whole_bucket_at_once() -> None:
    limiter = RateLimiter(REST_LIMITS)
    turns = [go(limiter, 0, Endpoint.DEFAULT) for _ in range(10)]
    late = reserve(limiter, 0, Endpoint.DEFAULT)
    assert late.wait_ns == SECOND_NS
    for turn in turns:
        limiter.finish(turn, at(10))
    assert limiter.start(late, at(1010)) == 0


def test_who_would_wait_too_long_is_refused_and_takes_no_place() -> None:
    limiter = RateLimiter(REST_LIMITS)
    waits = []
    while isinstance(turn := limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(0)), Turn):
        waits.append(turn.wait_ns // SECOND_NS)
    assert waits == list(range(31))
    assert turn == Refusal(Endpoint.QUOTE, 31 * SECOND_NS, "second")
    assert limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(0)) == turn


def test_who_waits_in_vain_is_refused_in_the_end() -> None:
    limiter = RateLimiter(REST_LIMITS)
    go(limiter, 0)
    waiting = reserve(limiter, 0)
    assert limiter.start(waiting, at(29_000)) == SECOND_NS
    refusal = limiter.start(waiting, at(29_001))
    assert isinstance(refusal, Refusal)
    limiter.give_up(waiting, at(29_001))
    assert reserve(limiter, 29_002).wait_ns == SECOND_NS


def test_who_gives_up_lets_the_next_one_move_up() -> None:
    limiter = RateLimiter(REST_LIMITS)
    limiter.finish(go(limiter, 0), at(0))
    first, second = reserve(limiter, 0), reserve(limiter, 0)
    limiter.give_up(first, at(10))
    assert limiter.start(second, at(1000)) == 0


def test_a_minute_is_limited_too() -> None:
    limits = with_limit(requests_per_second=10, requests_per_minute=20)
    limiter = RateLimiter(limits)
    for ms in (0, 2000):
        for turn in [go(limiter, ms) for _ in range(10)]:
            limiter.finish(turn, at(ms))
    refusal = limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(4000))
    assert refusal == Refusal(Endpoint.QUOTE, MINUTE_NS - 4 * SECOND_NS, "minute")
    assert reserve(limiter, 31_000).wait_ns == 29 * SECOND_NS


def test_order_limits_are_the_users_and_others_the_keys() -> None:
    limiter = RateLimiter(REST_LIMITS)
    for key in ("a", "b"):
        for _ in range(5):
            turn = limiter.reserve(Endpoint.ORDER_PLACE, key=key, user="u", now=at(0))
            assert isinstance(turn, Turn) and limiter.start(turn, at(0)) == 0
    third = limiter.reserve(Endpoint.ORDER_PLACE, key="c", user="u", now=at(0))
    other = limiter.reserve(Endpoint.ORDER_PLACE, key="a", user="v", now=at(0))
    assert isinstance(third, Turn) and third.wait_ns == SECOND_NS
    assert isinstance(other, Turn) and other.wait_ns == 0
    go(limiter, 0)
    quote = limiter.reserve(Endpoint.QUOTE, key="other", user="u", now=at(0))
    assert isinstance(quote, Turn) and quote.wait_ns == 0


@pytest.mark.parametrize(
    ("starts", "left_s"), [(datetime.time(0), 12 * 3600), (datetime.time(15, 30), 3.5 * 3600)]
)
def test_the_day_begins_anew_at_its_hour_in_india(starts: datetime.time, left_s: float) -> None:
    limits = with_limit(requests_per_second=2, requests_per_day=2)
    limiter = RateLimiter(dataclasses.replace(limits, day_starts=starts))
    for turn in [go(limiter, 0), go(limiter, 0)]:
        limiter.finish(turn, at(0))
    refusal = limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(5000))
    assert refusal == Refusal(Endpoint.QUOTE, int((left_s - 5) * SECOND_NS), "day")
    assert limiter.stats(at(5000))["endpoints"]["quote"]["requests_today"] == 2
    early = reserve(limiter, (left_s - 20) * 1000)
    assert early.wait_ns == 20 * SECOND_NS
    assert limiter.start(early, at(left_s * 1000)) == 0
    assert limiter.stats(at(left_s * 1000))["endpoints"]["quote"]["requests_today"] == 1


def hours(value: float) -> int:
    return int(value * 3600 * SECOND_NS)


@pytest.mark.parametrize("back_h", [13, 30, 24 * 4000 + 13])
def test_a_wall_clock_that_is_set_forgets_no_call(back_h: float) -> None:
    """Set back over midnight, or forth, and then to what it was: the day's calls stay counted."""
    limiter = RateLimiter(with_limit(requests_per_second=2, requests_per_day=2))
    for turn in [go(limiter, 0), go(limiter, 0)]:
        limiter.finish(turn, at(0))
    for sign in (-1, 1):
        for mono_s, ahead_ns in ((60, sign * hours(back_h)), (120, 0)):
            now = at(mono_s * 1000)
            set_clock = Now(now.mono_ns, now.ts_ns + ahead_ns)
            refusal = limiter.reserve(Endpoint.QUOTE, key="k", user="", now=set_clock)
            assert isinstance(refusal, Refusal) and refusal.window == "day", (sign, mono_s)
            assert 0 < refusal.wait_ns <= 24 * 3600 * SECOND_NS
    next_day = at(12 * 3600 * 1000)  # by the clock as it was most of the time; the others count
    assert isinstance(limiter.reserve(Endpoint.QUOTE, key="k", user="", now=next_day), Refusal)
    late = at(25 * 3600 * 1000)  # nothing of all that is younger than a day
    assert isinstance(limiter.reserve(Endpoint.QUOTE, key="k", user="", now=late), Turn)


def test_a_clock_that_is_corrected_by_seconds_was_not_set() -> None:
    limiter = RateLimiter(with_limit(requests_per_second=2, requests_per_day=2))
    for turn in [go(limiter, 0), go(limiter, 0)]:
        limiter.finish(turn, at(0))
    for minute in range(1, 200):
        now = at(minute * 60_000)
        slewed = Now(now.mono_ns, now.ts_ns + minute * SECOND_NS // 2)
        limiter.stats(slewed)
    midnight = at(12 * 3600 * 1000)
    assert isinstance(limiter.reserve(Endpoint.QUOTE, key="k", user="", now=midnight), Turn)


def test_calls_of_a_day_take_bounded_memory() -> None:
    limiter = RateLimiter(with_limit(requests_per_second=1))
    for hour in range(400):
        for second in range(20):
            ms = (hour * 3600 + second * 2) * 1000
            limiter.finish(go(limiter, ms), at(ms))
    (lane,) = limiter._lanes.values()
    assert len(lane.begun_ns) <= 2 * 1024 and len(lane.answered_ns) <= 1024 + 1


def test_429_closes_the_class_until_the_window_has_cleared_and_longer_when_it_repeats() -> None:
    limiter = RateLimiter(REST_LIMITS)
    ms, pauses = 0.0, []
    for _ in range(8):
        turn = go(limiter, ms)
        pauses.append(limiter.limited(turn, at(ms)) // SECOND_NS)
        ms += pauses[-1] * 1000
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    limiter.finish(go(limiter, ms), at(ms))
    assert limiter.limited(go(limiter, ms + 1000), at(ms + 1000)) == SECOND_NS


def test_calls_under_way_together_are_one_429() -> None:
    limiter = RateLimiter(REST_LIMITS)
    turns = [go(limiter, 0, Endpoint.DEFAULT) for _ in range(10)]
    pauses = [limiter.limited(turn, at(i)) for i, turn in enumerate(turns)]
    assert max(pauses) <= SECOND_NS
    assert reserve(limiter, 100, Endpoint.QUOTE).wait_ns == 0


def test_a_429_that_names_its_time_is_obeyed() -> None:
    limiter = RateLimiter(REST_LIMITS)
    limiter.limited(go(limiter, 0), at(0), retry_after_ns=20 * SECOND_NS)
    assert reserve(limiter, 0).wait_ns == 20 * SECOND_NS
    limiter = RateLimiter(REST_LIMITS)
    limiter.limited(go(limiter, 0), at(0), retry_after_ns=31 * SECOND_NS)
    refusal = limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(0))
    assert refusal == Refusal(Endpoint.QUOTE, 31 * SECOND_NS, "closed")


def test_stats_have_the_published_shape() -> None:
    limiter = RateLimiter(REST_LIMITS)
    assert limiter.stats(at(0)) | {"endpoints": {}} == {
        "total_requests": 0,
        "total_wait_time_seconds": 0.0,
        "rate_limited_count": 0,
        "avg_wait_time_ms": 0.0,
        "endpoints": {},
    }
    limiter.finish(go(limiter, 0), at(0))
    held_up = reserve(limiter, 0)
    assert limiter.start(held_up, at(0)) == SECOND_NS
    assert limiter.start(held_up, at(1000)) == 0
    found = limiter.stats(at(1000))
    assert found["endpoints"].keys() == {str(endpoint) for endpoint in Endpoint}
    assert found["endpoints"]["order_place"] == {
        "requests_last_minute": 0,
        "minute_limit": 400,
        "requests_today": 0,
        "daily_limit": 5000,
    }
    assert found["endpoints"]["quote"]["requests_last_minute"] == 2
    assert (found["total_requests"], found["rate_limited_count"]) == (2, 1)
    assert (found["total_wait_time_seconds"], found["avg_wait_time_ms"]) == (1.0, 500.0)
    assert limiter.stats(at(61_001))["endpoints"]["quote"]["requests_last_minute"] == 1


def test_config_has_the_published_shape_and_follows_a_replacement() -> None:
    limiter = RateLimiter(REST_LIMITS)
    assert limiter.config().keys() == {"documentation_url", "limits"}
    assert limiter.config()["limits"]["order_place"] == {
        "requests_per_second": 10,
        "requests_per_minute": 400,
        "requests_per_day": 5000,
    }
    turn = go(limiter, 0)
    limiter.replace(with_limit(requests_per_second=3))
    assert limiter.config()["limits"]["quote"]["requests_per_second"] == 3
    limiter.finish(turn, at(0))
    assert [reserve(limiter, 0).wait_ns for _ in range(3)] == [0, 0, SECOND_NS]


@given(seed=st.integers(0, 2**32), per_second=st.integers(1, 4), per_minute=st.integers(3, 12))
def test_whatever_the_network_does_no_window_sees_more(
    seed: int, per_second: int, per_minute: int
) -> None:
    """The broker counts a call somewhere between its start and its answer."""
    random_ = random.Random(seed)
    limiter = RateLimiter(
        with_limit(requests_per_second=per_second, requests_per_minute=per_minute)
    )
    waiting: list[tuple[int, Turn]] = []
    going: list[tuple[int, Turn]] = []
    counted: list[int] = []
    ms = 0
    for _ in range(300):
        ms += random_.choice((0, 0, 1, 20, 300, 1500))
        for answered, turn in sorted(going, key=lambda pair: pair[0]):
            if answered <= ms:
                limiter.finish(turn, at(answered))
        going = [(answered, turn) for answered, turn in going if answered > ms]
        turn = limiter.reserve(Endpoint.QUOTE, key="k", user="", now=at(ms))
        if isinstance(turn, Turn):
            waiting.append((ms, turn))
        random_.shuffle(waiting)
        for asked, turn in list(waiting):
            if random_.random() < 0.05:
                limiter.give_up(turn, at(ms))
                waiting.remove((asked, turn))
                continue
            outcome = limiter.start(turn, at(ms))
            if outcome != 0:
                if isinstance(outcome, Refusal):
                    waiting.remove((asked, turn))
                continue
            waiting.remove((asked, turn))
            took = random_.choice((0, 1, 50, 900, 3000))
            counted.append(random_.randint(ms, ms + took))
            going.append((ms + took, turn))
    counted.sort()
    for limit, window_ms in ((per_second, 1000), (per_minute, 60_000)):
        for first, last in zip(counted, counted[limit:], strict=False):
            assert last - first >= window_ms, (limit, window_ms)
