"""Where a successor goes on: nothing twice, nothing lost without a word, whatever was under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ext.streams import ReaderPolicy
from pipeline.core.enums import EventKind, Reason
from pipeline.shm import specs
from pipeline.shm.instance import InstanceView
from pipeline.shm.pages import StatusPage
from pipeline.strategy.attachment import Attachment, ReaderOptions
from pipeline.strategy.hosting.delivery import Delivery, read_positions
from pipeline.strategy.items import Gap, Item, OrderUpdate, Overrun, Ticks
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance


class Life:
    """One process of a strategy after another: `begin` is a new one on the same page."""

    def __init__(self, instance: FakeInstance) -> None:
        self.instance = instance
        self.page = StatusPage(instance.make(specs.strategy_status(0), 0))
        self.got: list[Item | np.ndarray[Any, Any]] = []
        self.market: Market | None = None
        self.begin()

    def begin(self, policy: ReaderPolicy = ReaderPolicy.READER_RESUME) -> None:
        self.die()
        options = ReaderOptions(
            name="s", policy=policy, from_oldest=True, buffer_ticks=256, spin_us=0, nap_us=0,
            follow=False,
            positions=read_positions(self.page),
        )  # fmt: skip
        self.market = Market(Attachment(InstanceView(self.instance.paths), options), options)
        self.delivery = Delivery(self.market, self.page)

    def die(self) -> None:
        if self.market is not None:
            self.market.close()

    def take(self) -> Item | None:
        item = self.delivery.take()
        if item is not None:
            self.got.append(item.ticks.copy() if isinstance(item, Ticks) else item)
        return item

    def take_all(self) -> None:
        while self.take() is not None:
            pass

    def sequences(self, connection: int = 0) -> list[int]:
        found = [item for item in self.got if isinstance(item, np.ndarray)]
        return [
            int(t["sequence"]) for batch in found for t in batch if t["connection"] == connection
        ]

    def of(self, kind: type[Any]) -> list[Any]:
        return [item for item in self.got if isinstance(item, kind)]


@pytest.fixture
def life(instance: FakeInstance) -> Iterator[Life]:
    found = Life(instance)
    yield found
    found.die()


def gap(instance: FakeInstance, number: int, connection: int = 0) -> None:
    lane = instance.connections[connection].lane
    lane.write_event(EventKind.GAP, reason=Reason.RESET, end_mono_ns=number)


def test_a_first_process_begins_with_the_oldest(instance: FakeInstance) -> None:
    instance.send(100)
    life = Life(instance)
    life.take_all()
    assert life.sequences() == list(range(1, 101))
    life.die()


def test_a_successor_goes_on_where_the_hand_out_stopped(life: Life) -> None:
    life.instance.send(200)
    life.take_all()
    life.instance.send(200)
    life.begin()
    life.take_all()
    assert life.sequences() == list(range(1, 401))
    assert int(life.page.record["ticks"]) == 400
    assert life.delivery.lag() == 0
    life.instance.send(7)
    assert life.delivery.lag() == 7


def test_events_that_waited_when_it_died_come_once(life: Life) -> None:
    """A poll takes ticks and the events behind them; only what was handed out counts."""
    for number in range(1, 5):
        life.instance.send(10)
        gap(life.instance, number)
    for steps in range(1, 12):  # a death after every number of items, until nothing is left
        for _ in range(steps % 3 + 1):
            life.take()
        life.begin()
    life.take_all()
    assert life.sequences() == list(range(1, 41))
    assert [event.end_mono_ns for event in life.of(Gap)] == [1, 2, 3, 4]


def test_orders_come_once_too(life: Life) -> None:
    orders = life.instance.connections[0].orders
    for number in range(6):
        raw = b'{"type":"order","data":{"n":%d}}' % number
        assert orders.append(raw, connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
    life.take()
    life.take()
    life.begin()
    life.take_all()
    assert [update.order["n"] for update in life.of(OrderUpdate)] == list(range(6))


def test_what_was_overwritten_between_two_lives_is_told_exactly(make_instance: Make) -> None:
    life = Life(make_instance(tick_records=1024))
    life.instance.send(100)
    life.take_all()
    life.die()
    for _ in range(12):
        life.instance.send(256)
    life.begin()
    life.take()
    (lost,) = life.of(Overrun)
    assert (lost.stage, lost.first_sequence) == ("reader", 101)
    # Dead again before the ticks behind it: the loss was told, and is not told again.
    life.begin()
    life.take_all()
    assert life.of(Overrun) == [lost]
    assert life.sequences() == [*range(1, 101), *range(lost.tick_sequence, 100 + 12 * 256 + 1)]
    assert int(life.page.record["lost"]) == lost.lost
    life.die()


def test_a_loss_that_was_not_told_yet_is_told_by_the_successor(make_instance: Make) -> None:
    life = Life(make_instance(tick_records=1024, connections=2))
    for _ in range(12):
        life.instance.send(256, 0)
        life.instance.send(10, 1)
    item = life.delivery.take()  # the other connection's ticks; the Overrun waits behind them
    assert isinstance(item, Ticks)
    life.begin()
    life.take_all()
    assert life.of(Overrun)[0].first_sequence == 1
    assert life.sequences(0)[0] == life.of(Overrun)[0].lost + 1
    life.die()


def test_skip_goes_to_the_newest_only_when_something_was_lost(make_instance: Make) -> None:
    life = Life(make_instance(tick_records=1024))
    life.begin(ReaderPolicy.READER_SKIP)
    life.instance.send(100)
    life.begin(ReaderPolicy.READER_SKIP)
    life.take_all()
    assert life.sequences() == list(range(1, 101))
    for _ in range(12):
        life.instance.send(256)
    life.begin(ReaderPolicy.READER_SKIP)
    life.take_all()
    assert life.of(Overrun)[0].tick_sequence == 100 + 12 * 256 + 1
    life.die()


def test_a_position_beyond_the_end_is_not_believed(life: Life) -> None:
    life.instance.send(5)
    life.take_all()
    row = life.page.record["positions"][0]
    row["tick_cursor"] = row["event_cursor"] = row["order_cursor"] = 2**63
    life.begin()
    life.instance.send(5)
    life.take_all()
    assert life.sequences() == list(range(1, 11))


def test_ticks_that_come_while_it_waits_count_like_others(life: Life) -> None:
    assert life.delivery.take() is None
    life.instance.send(200)
    found = life.delivery.wait(10**9)
    assert isinstance(found, Ticks)
    assert found.ticks["sequence"].tolist() == list(range(1, 201))
    assert int(life.page.record["ticks"]) == 200
    assert life.delivery.lag() == 0
    life.instance.send(3)
    life.begin()
    life.take_all()
    assert life.sequences() == [201, 202, 203]


def test_what_comes_with_an_event_is_left_to_take(life: Life) -> None:
    assert life.delivery.take() is None
    life.instance.send(10)
    gap(life.instance, 1)
    assert life.delivery.wait(10**9) is None
    assert int(life.page.record["ticks"]) == 0
    life.take_all()
    assert life.sequences() == list(range(1, 11))
    assert [event.end_mono_ns for event in life.of(Gap)] == [1]
