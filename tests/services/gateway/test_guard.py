"""Who may connect, and what wrong keys cost; every limit stepped through in passed time."""

from __future__ import annotations

import random

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.services.gateway.guard import Guard, Refusal, Visit
from pipeline.services.gateway.limits import Limits
from tests.services.gateway.desk import START_NS

STRANGER = "203.0.113.7"
MINUTE_NS = 60 * NS_PER_S


def let_in(guard: Guard, address: str, now_ns: int = START_NS) -> Visit:
    found = guard.admit(address, now_ns)
    assert isinstance(found, Visit), found
    return found


def refused(guard: Guard, address: str, now_ns: int = START_NS) -> Refusal:
    found = guard.admit(address, now_ns)
    assert isinstance(found, Refusal)
    return found


def test_the_total_is_capped_and_given_back() -> None:
    guard = Guard(Limits(connections=2))
    visits = [let_in(guard, "127.0.0.1"), let_in(guard, STRANGER)]
    assert refused(guard, "127.0.0.1")[::3] == (503, "full")
    for visit in visits:
        visit.end()
        visit.end()
    assert guard.connections == 0
    assert [let_in(guard, STRANGER), let_in(guard, STRANGER)]


def test_an_address_is_capped_with_and_without_a_key() -> None:
    guard = Guard(Limits(connections_per_address=4, unauthenticated_per_address=2))
    first, second = let_in(guard, STRANGER), let_in(guard, STRANGER)
    assert refused(guard, STRANGER).status == 429
    assert let_in(guard, "203.0.113.8")
    first.authenticated()
    first.authenticated()
    second.authenticated()
    assert let_in(guard, STRANGER) and let_in(guard, STRANGER)
    assert refused(guard, STRANGER).reason == "too many connections from this address"
    first.end()
    assert refused(guard, STRANGER)  # two have not shown a key
    assert refused(guard, STRANGER).counted_as == "address"


def test_those_without_a_key_are_capped_together() -> None:
    guard = Guard(Limits(unauthenticated=3))
    visits = [let_in(guard, f"203.0.113.{i}") for i in range(3)]
    assert refused(guard, STRANGER).status == 503
    assert let_in(guard, "127.0.0.1")  # this machine's own are not in that count
    visits[0].end()
    assert let_in(guard, STRANGER)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "10.9.1.1"]
)
def test_loopback_and_trusted_proxies_are_neither_counted_nor_banned(address: str) -> None:
    guard = Guard(Limits(), ["10.0.0.0/8"])
    visits = [let_in(guard, address) for _ in range(400)]
    for visit in visits:
        assert visit.wrong_key(START_NS) == (0, False)
        assert visit.may_try(START_NS)
    assert guard.remembered == 0 and guard.counters.wrong_keys == 400


def test_a_network_of_ipv6_is_one_address() -> None:
    guard = Guard(Limits(unauthenticated_per_address=1))
    let_in(guard, "2001:db8:1:2::1")
    assert refused(guard, "2001:db8:1:2:ffff::9")
    assert let_in(guard, "2001:db8:1:3::1")
    let_in(guard, "::ffff:203.0.113.7")
    assert refused(guard, STRANGER)


def test_wrong_keys_are_answered_late_and_then_lock_out() -> None:
    guard = Guard(Limits())
    visit = let_in(guard, STRANGER)
    penalties = [visit.wrong_key(START_NS + i * NS_PER_S) for i in range(20)]
    assert [penalty.delay_ns for penalty in penalties] == [0] * 4 + [NS_PER_S] * 15 + [0]
    assert [penalty.banned for penalty in penalties] == [False] * 19 + [True]
    at_ns = START_NS + 19 * NS_PER_S
    found = refused(guard, STRANGER, at_ns + NS_PER_S)
    assert (found.status, found.retry_after_s, found.counted_as) == (429, 900, "banned")
    assert not visit.may_try(at_ns)
    assert refused(guard, STRANGER, at_ns + 900 * NS_PER_S - 1)
    assert let_in(guard, STRANGER, at_ns + 900 * NS_PER_S)
    assert guard.counters.bans == 1 and guard.remembered == 0


def test_what_is_older_than_a_minute_does_not_count() -> None:
    guard = Guard(Limits())
    visit = let_in(guard, STRANGER)
    for i in range(100):
        assert visit.wrong_key(START_NS + i * MINUTE_NS // 4) == (0, False)


def test_the_tables_of_addresses_are_bounded() -> None:
    guard = Guard(Limits(addresses_remembered=50, wrong_keys_until_ban=2))
    for network, wrong_keys in (("198.51", 1), ("100.51", 2)):
        for i in range(1000):
            visit = let_in(guard, f"{network}.{i // 250}.{i % 250}")
            for _ in range(wrong_keys):
                visit.wrong_key(START_NS)
            visit.end()
        assert 50 <= guard.remembered <= 2 * 50


def test_who_has_sent_no_handshake_is_counted_by_address() -> None:
    guard = Guard(Limits(connections_per_address=2), ["10.0.0.0/8"])
    visits = [let_in(guard, STRANGER) for _ in range(2)]
    assert guard.arrive(STRANGER) and guard.arrive(STRANGER), "to be told why not"
    assert not guard.arrive(STRANGER)
    assert guard.arrive("203.0.113.8")
    for address in ("127.0.0.1", "::1", "10.0.0.1"):
        assert all(guard.arrive(address) for _ in range(10))
        guard.arrived(address)
    guard.arrived(STRANGER)
    assert guard.arrive(STRANGER)
    for visit in visits:
        guard.arrived(STRANGER)
        visit.end()
    guard.arrived("203.0.113.8")
    assert len(guard._arriving) == 0


def test_who_a_connection_is_from_is_what_a_trusted_proxy_says() -> None:
    guard = Guard(Limits(), ["10.0.0.0/8"])
    assert guard.client_address("10.0.0.1", "6.6.6.6, 1.2.3.4") == "1.2.3.4"
    assert guard.client_address(STRANGER, "1.2.3.4") == STRANGER


def test_counts_are_right_after_anything_at_random() -> None:
    chance = random.Random(7)
    guard = Guard(Limits(connections=40, connections_per_address=8, unauthenticated_per_address=3))
    addresses = ["127.0.0.1", *(f"203.0.113.{i}" for i in range(6))]
    visits: list[Visit] = []
    for step in range(5_000):
        match chance.randrange(4):
            case 0 | 1:
                found = guard.admit(chance.choice(addresses), START_NS + step)
                visits += [found] if isinstance(found, Visit) else []
            case 2 if visits:
                chance.choice(visits).authenticated()
            case 3 if visits:
                visits.pop(chance.randrange(len(visits))).end()
        assert guard.connections == len(visits) <= 40
    for visit in visits:
        visit.end()
    sums = guard._sums
    assert (sums.connections, sums.unauthenticated, sums.of_address) == (0, 0, {})
