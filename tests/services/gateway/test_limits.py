"""The bucket, stepped through in whole nanoseconds."""

from __future__ import annotations

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.services.gateway.limits import Limits, TokenBucket

START_NS = 10**12


def passed(bucket: TokenBucket, now_ns: int, tries: int) -> int:
    count = 0
    for _ in range(tries):
        if bucket.ready_ns() <= now_ns:
            bucket.take(now_ns)
            count += 1
    return count


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=50, burst=1000)
    assert passed(bucket, START_NS, 2000) == 1000
    assert bucket.ready_ns() == START_NS + NS_PER_S // 50
    for second in range(1, 4):
        assert passed(bucket, START_NS + second * NS_PER_S, 2000) == 50
    assert passed(bucket, START_NS + 3600 * NS_PER_S, 2000) == 1000


@pytest.mark.parametrize("rate", [0.1, 0.5, 3.0, 50.0, 1e6])
def test_over_a_long_time_it_is_the_rate(rate: float) -> None:
    bucket = TokenBucket(rate=rate, burst=1)
    now_ns, count = START_NS, 0
    end_ns = START_NS + int(100 * NS_PER_S / rate)
    while now_ns < end_ns:
        now_ns = max(now_ns, bucket.ready_ns())
        bucket.take(now_ns)
        count += 1
    assert 100 <= count <= 102


def test_what_counts_for_many_makes_the_next_wait_longer() -> None:
    bucket = TokenBucket(rate=10, burst=1)
    bucket.take(START_NS, 30)
    assert bucket.ready_ns() == START_NS + 3 * NS_PER_S
    bucket.take(START_NS, 0)
    assert bucket.ready_ns() == START_NS + 3 * NS_PER_S


def test_the_defaults_are_the_promised_ones() -> None:
    limits = Limits()
    assert limits.authenticate_within_s == 15
    assert (limits.early_payload_bytes, limits.early_messages) == (4096, 64)
    assert (limits.payload_bytes, limits.instruments) == (1 << 20, 5000)
    assert (limits.control_messages_per_s, limits.control_messages_burst) == (50, 1000)
    assert limits.connections == 4096
    assert (limits.wrong_keys_until_delay, limits.wrong_key_delay_s) == (5, 1)
    assert (limits.wrong_keys_until_ban, limits.ban_s) == (20, 900)
