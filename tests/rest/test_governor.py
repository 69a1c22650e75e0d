"""The governor: threads and tasks in turn, its file of limits, its counters."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.core.errors import ConfigError, RateLimited
from pipeline.core.exit_codes import ExitCode
from pipeline.core.rates import Endpoint
from pipeline.planning.rate_limits import SECOND_NS, Now
from pipeline.rest.governor import Governor

QUOTES = '[rest.quote]\nrequests_per_second = {{ value = {}, source = "a test" }}\n'


class Clock:
    """Both clocks, moved by whoever sleeps."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._lock = threading.Lock()

    def __call__(self) -> Now:
        return Now(self.now_ns, self.now_ns)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now_ns += int(seconds * SECOND_NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def governor(clock: Clock) -> Governor:
    return Governor(REST_LIMITS, clock=clock, sleep=clock.sleep)


def call(governor: Governor, work: Callable[[], object] = lambda: None) -> None:
    with governor.going(governor.acquire(Endpoint.QUOTE, key="k")):
        work()


def test_calls_wait_for_their_turn(governor: Governor, clock: Clock) -> None:
    for _ in range(4):
        call(governor)
    assert clock.now_ns == 3 * SECOND_NS
    stats = governor.stats()
    assert (stats["total_requests"], stats["rate_limited_count"]) == (4, 3)
    assert stats["total_wait_time_seconds"] == 3.0 and stats["avg_wait_time_ms"] == 750.0


def test_a_turn_that_would_come_too_late_is_refused_with_its_time(governor: Governor) -> None:
    going = governor.going(governor.acquire(Endpoint.QUOTE, key="k"))
    with going, pytest.raises(RateLimited) as caught:
        governor.acquire(Endpoint.QUOTE, key="k")
    assert caught.value.retry_after_s == 1.0
    assert caught.value.exit_code is ExitCode.TEMPORARY
    call(governor)  # the one refused has left no place behind


def test_a_429_closes_the_class_and_says_how_long(governor: Governor, clock: Clock) -> None:
    def limited(seconds: float) -> None:
        raise RateLimited("429", endpoint="quote", retry_after_s=seconds)

    for asked_s, closed_s in ((0.0, 1.0), (7.0, 7.0)):
        with pytest.raises(RateLimited) as caught:
            call(governor, lambda asked_s=asked_s: limited(asked_s))
        assert caught.value.retry_after_s == closed_s
    before_ns = clock.now_ns
    call(governor)
    assert clock.now_ns - before_ns == 7 * SECOND_NS


def test_whatever_else_goes_wrong_counts_as_an_answer(governor: Governor, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError):
        call(governor, lambda: 1 // 0)
    call(governor)
    assert clock.now_ns == SECOND_NS


def test_threads_share_the_windows() -> None:
    governor = Governor(REST_LIMITS)
    most, now, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal most, now
        with governor.going(governor.acquire(Endpoint.DEFAULT, key="k")):
            with lock:
                now += 1
                most = max(most, now)
            with lock:
                now -= 1

    with ThreadPoolExecutor(12) as pool:
        for future in [pool.submit(work) for _ in range(25)]:
            future.result()
    assert 1 <= most <= 10
    assert governor.stats()["total_requests"] == 25


def test_tasks_wait_without_a_thread_and_may_be_cancelled() -> None:
    governor = Governor(REST_LIMITS)

    async def work() -> None:
        with governor.going(await governor.acquire_async(Endpoint.QUOTE, key="k")):
            await asyncio.sleep(0)

    async def run() -> None:
        with governor.going(governor.acquire(Endpoint.QUOTE, key="k")):
            waiting = [asyncio.create_task(work()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert waiting[2].exception() is None and waiting[0].cancelled()

    asyncio.run(run())
    stats = governor.stats()
    assert (stats["total_requests"], stats["rate_limited_count"]) == (4, 3)
    assert stats["endpoints"]["quote"]["requests_last_minute"] == 2


def test_a_changed_file_is_taken_over_and_a_wrong_one_changes_nothing(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(QUOTES.format(2))
    governor = Governor(REST_LIMITS, limits_file=path, clock=clock, sleep=clock.sleep)

    def per_second() -> int:
        return int(governor.config()["limits"]["quote"]["requests_per_second"])

    assert per_second() == 2
    _rewrite(path, QUOTES.format(5))
    assert per_second() == 5
    _rewrite(path, "[rest.quote]\nrequests_per_second = 9\n")
    assert per_second() == 5 and "rest.quote.requests_per_second" in governor.problem
    with pytest.raises(ConfigError, match=r"rest\.quote\.requests_per_second: found 9"):
        governor.reload()
    path.unlink()
    assert per_second() == 5 and "No such file" in governor.problem
    _rewrite(path, QUOTES.format(7))
    clock.now_ns += SECOND_NS
    call(governor)  # calls look as well, once a second
    assert governor.limits.endpoints[Endpoint.QUOTE].requests_per_second == 7
    assert governor.problem == ""


def _rewrite(path: Path, text: str) -> None:
    """Replace a file as editors do: another inode, whatever the clock of the file system."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
