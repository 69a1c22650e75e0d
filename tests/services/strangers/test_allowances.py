"""How often an address may ask, and what others' flood leaves of that."""

from __future__ import annotations

import random

from pipeline.core.clock import NS_PER_S
from pipeline.services.strangers import Allowance, Allowances

NOW_NS = 100 * NS_PER_S


def asked(allowances: Allowances, address: str | None, count: int, now_ns: int = NOW_NS) -> int:
    """Return how many of so many questions were allowed."""
    return sum(not allowances.take(address, now_ns) for _ in range(count))


def test_an_allowance_comes_back_with_time_and_no_more_than_once() -> None:
    allowance = Allowance(2.0)
    now = NOW_NS
    assert [allowance.take(now) for _ in range(2)] == [0.0, 0.0]
    assert allowance.take(now) == 0.5 and not allowance.is_whole(now)
    assert allowance.take(now + NS_PER_S // 2) == 0.0
    now += 3600 * NS_PER_S
    assert allowance.is_whole(now)
    assert [allowance.take(now) > 0 for _ in range(3)] == [False, False, True]


def test_nobody_uses_up_what_another_may() -> None:
    allowances = Allowances(10.0)
    assert asked(allowances, "203.0.113.7", 1000) == 10
    assert asked(allowances, "203.0.113.8", 1000) == 10
    assert asked(allowances, None, 1000) == 10
    assert len(allowances) == 2
    assert asked(allowances, "203.0.113.7", 1000, NOW_NS + NS_PER_S) == 10


def test_addresses_that_come_anew_reset_nobody() -> None:
    """An attacker with many addresses cannot have us forget what the first one used up."""
    allowances = Allowances(10.0, remembered=50)
    assert asked(allowances, "203.0.113.7", 10) == 10
    others = sum(asked(allowances, f"198.51.100.{i}", 1) for i in range(200))
    assert others == 49 + 10, "those there is no room for share one allowance"
    assert len(allowances) == 50
    assert asked(allowances, "203.0.113.7", 10) == 0
    assert asked(allowances, "192.0.2.1", 1, NOW_NS + NS_PER_S) == 1
    assert len(allowances) == 50


def test_no_address_ever_gets_more_than_its_own_whatever_the_others_do(seed: int) -> None:
    chance = random.Random(seed)
    allowances = Allowances(4.0, remembered=5)
    allowed: dict[int, list[int]] = {}
    now_ns = NOW_NS
    for _ in range(3000):
        now_ns += chance.randrange(NS_PER_S // 8)
        address = chance.randrange(12)
        if not allowances.take(str(address), now_ns):
            allowed.setdefault(address, []).append(now_ns)
        assert len(allowances) <= 5
    for times in allowed.values():
        for first, at_ns in enumerate(times):
            within = sum(at_ns <= other < at_ns + NS_PER_S for other in times[first:])
            # Its own, at once and again in the second, and as much of the newcomers'.
            assert within <= 2 * 2 * 4 + 1
