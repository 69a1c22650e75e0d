"""The rule for instruments on two connections, as its readable twin states it.

That the compiled one gives the same is shown by `tests/feed/test_moving.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.brokers.handover import (
    RECENT,
    Novelty,
    Order,
    Overlap,
    content_of,
    is_before,
    order_of,
)
from pipeline.brokers.kite.wire import decode_frame
from pipeline.core.enums import Mode, TickFlag
from tests.brokers import kite_frames as make

OLD, NEW = 0, 1
HANDOVER, NONE = TickFlag.HANDOVER, TickFlag(0)


def tick(body: bytes, connection: int = OLD, epoch: int = 1) -> Any:
    return decode_frame(make.frame(body), connection=connection, connection_epoch=epoch)[0]


@pytest.fixture
def overlap() -> Overlap:
    """Return what is known when the old connection was there before."""
    overlap = Overlap()
    overlap.begin(tick(make.full()), Order())
    return overlap


def test_what_orders_each_kind_of_packet() -> None:
    time, trade = make.EXCHANGE_TIME * 10**9, make.TRADE_TIME * 10**9
    assert order_of(tick(make.full(volume=7))) == (time, 7, trade)
    assert order_of(tick(make.full(volume=0, time=0, trade_time=0))) == (None, 0, None)
    assert order_of(tick(make.quote(volume=7))) == (None, 7, None)
    assert order_of(tick(make.index(time=5))) == (5 * 10**9, None, None)
    assert order_of(tick(make.index())) == order_of(tick(make.ltp())) == Order()


@pytest.mark.parametrize(
    ("first", "second", "before"),
    [
        (Order(1, 9, 9), Order(2, 1, 1), True),
        (Order(2, 1, 1), Order(2, 2, 0), True),
        (Order(2, 2, 1), Order(2, 2, 2), True),
        (Order(2, 2, 2), Order(2, 2, 2), False),
        (Order(None, 1, None), Order(2, 2, 2), True),
        (Order(9, None, None), Order(None, 1, None), False),
        (Order(), Order(1, 1, 1), False),
    ],
)
def test_which_of_two_is_earlier(first: Order, second: Order, before: bool) -> None:
    assert is_before(first, second) is before


def test_a_full_packet_has_the_content_of_its_quote() -> None:
    full, quote = tick(make.full(volume=7)), tick(make.quote(volume=7))
    assert content_of(full, Mode.QUOTE) == content_of(quote)
    assert content_of(full) != content_of(quote)
    assert content_of(full) != content_of(tick(make.full(volume=7, oi=1)))


def test_the_same_content_of_another_connection_is_repeated(overlap: Overlap) -> None:
    one, two = make.full(volume=1), make.full(volume=2)
    assert overlap.take(tick(one), None) == (Novelty.NEWS, NONE)
    assert overlap.take(tick(one), None) == (Novelty.NEWS, NONE)  # its own once more
    newest = tick(one)
    assert overlap.take(tick(one, NEW), newest) == (Novelty.REPEATED, NONE)
    assert overlap.take(tick(two, NEW), newest) == (Novelty.NEWS, HANDOVER)
    assert overlap.take(tick(make.full(volume=3), NEW), None) == (Novelty.NEWS, NONE)


def test_what_the_other_has_gone_past_is_repeated_and_what_it_never_had_is_behind(
    overlap: Overlap,
) -> None:
    for volume in (5, 9):
        overlap.take(tick(make.full(volume=volume), NEW), tick(make.full(volume=1)))
    newest = tick(make.full(volume=9), NEW)
    assert overlap.take(tick(make.full(volume=7)), newest) == (Novelty.REPEATED, NONE)
    assert overlap.take(tick(make.full(volume=4)), newest) == (Novelty.BEHIND, HANDOVER)


def test_a_packet_without_order_is_flagged_or_repeated(overlap: Overlap) -> None:
    newest = tick(make.ltp(last=1))
    assert overlap.take(tick(make.ltp(last=1)), None) == (Novelty.NEWS, NONE)
    assert overlap.take(tick(make.ltp(last=1), NEW), newest) == (Novelty.NEWS, HANDOVER)
    assert overlap.take(tick(make.ltp(last=1), NEW), newest) == (Novelty.REPEATED, NONE)
    assert overlap.take(tick(make.ltp(last=2)), newest) == (Novelty.NEWS, HANDOVER)


def test_a_new_epoch_begins_anew(overlap: Overlap) -> None:
    overlap.take(tick(make.full(volume=5), NEW), tick(make.full(volume=1)))
    newest = tick(make.full(volume=5), NEW)
    again = tick(make.full(volume=9), OLD, epoch=2)
    assert overlap.take(again, newest) == (Novelty.NEWS, HANDOVER)
    assert overlap.take(tick(make.full(volume=7), NEW), again) == (Novelty.BEHIND, HANDOVER)


def test_contents_are_forgotten_in_the_end(overlap: Overlap) -> None:
    """Of one order; what is older is dropped all the same."""
    books = [make.full(oi=n) for n in range(RECENT)]
    for book in books:
        overlap.take(tick(book), None)
    newest = tick(books[-1])
    assert overlap.take(tick(books[-RECENT // 4], NEW), newest)[0] is Novelty.REPEATED
    assert overlap.take(tick(books[0], NEW), newest)[0] is Novelty.NEWS
