"""Messages in order, at a rate, bounded."""

from __future__ import annotations

from pipeline.core.clock import NS_PER_S
from pipeline.services.gateway.inbox import Inbox
from pipeline.services.gateway.limits import TokenBucket

START_NS = 10**12


def test_they_come_out_in_order_and_no_faster_than_they_may() -> None:
    inbox = Inbox(TokenBucket(rate=10, burst=3))
    for i in range(6):
        inbox.put(b"%d" % i)
    assert (len(inbox), inbox.payload_bytes) == (6, 6)
    assert [inbox.take(START_NS) for _ in range(4)] == [b"0", b"1", b"2", None]
    later_ns = inbox.pause_until_ns(START_NS)
    assert later_ns == START_NS + NS_PER_S // 10
    assert inbox.take(later_ns - 1) is None
    assert inbox.take(later_ns) == b"3"
    inbox.clear()
    assert (len(inbox), inbox.payload_bytes) == (0, 0)
    assert inbox.take(START_NS + 9 * NS_PER_S) is None


def test_many_instruments_count_as_several_messages() -> None:
    inbox = Inbox(TokenBucket(rate=50, burst=1))
    inbox.charge_items(99, START_NS)
    assert inbox.pause_until_ns(START_NS) == 0
    inbox.charge_items(5000, START_NS)
    assert inbox.pause_until_ns(START_NS) == START_NS + NS_PER_S


def test_a_long_message_counts_as_several() -> None:
    inbox = Inbox(TokenBucket(rate=50, burst=1))
    for size in (16_383, 1 << 20):
        inbox.put(bytes(size))
    assert inbox.take(START_NS) is not None
    later_ns = inbox.pause_until_ns(START_NS)
    assert later_ns == START_NS + NS_PER_S // 50
    assert inbox.take(later_ns) is not None
    assert inbox.pause_until_ns(later_ns) == later_ns + 65 * NS_PER_S // 50


def test_it_says_when_its_reader_did_not_stop() -> None:
    inbox = Inbox(TokenBucket(rate=1, burst=1))
    for _ in range(8):
        inbox.put(bytes(1 << 20))
    assert inbox.is_overfull
    inbox.clear()
    count = 0
    while not inbox.is_overfull:
        inbox.put(b"")
        count += 1
    assert count < 200_000
