"""A reader with an owner: it is told nothing that came on another one's connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pipeline
from pipeline.core.enums import EventKind, State
from pipeline.core.errors import CapacityError, InstanceError
from pipeline.strategy.items import Gap, OrderUpdate, Ticks
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance

OWNERS = ("alice", "bob")
ORDER = b'{"type":"order","data":{"order_id":"1","status":"OPEN"}}'


@pytest.fixture
def instance(make_instance: Make) -> FakeInstance:
    return make_instance(connections=4, owners=OWNERS)


def attach(instance: FakeInstance, owner: str | None, **options: Any) -> Market:
    return pipeline.attach(
        instance.paths.name, shm_directory=instance.paths.root, owner=owner, **options
    )


def send_everything(instance: FakeInstance) -> None:
    for number, connection in enumerate(instance.connections):
        connection.lane.write_ticks(number + 1)
        connection.lane.write_event(EventKind.GAP)
        connection.orders.append(ORDER, connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
        instance.send(1, number)


def all_items(market: Market, count: int) -> list[Any]:
    """Return what comes until so many ticks were seen, and all that is there then."""
    found: list[Any] = []
    ticks = 0
    for item in market.stream(timeout_s=0.0 if not count else 10.0):
        found.append(item)
        ticks += len(item.ticks) if isinstance(item, Ticks) else 0
        if ticks >= count:
            break
    while (more := market.take(orders=True)) is not None:
        found.append(more)
    return found


def connections_of(items: list[Any], kind: type[Gap]) -> set[int]:
    return {item.connection for item in items if isinstance(item, kind)}


def seen(items: list[Any]) -> set[int]:
    return {int(n) for item in items if isinstance(item, Ticks) for n in item.ticks["connection"]}


def test_ticks_notices_and_orders_are_its_owners(instance: FakeInstance) -> None:
    with attach(instance, "bob", from_="oldest") as market:
        send_everything(instance)
        items = all_items(market, 8)
        assert seen(items) == {1, 3}
        assert connections_of(items, Gap) == {1, 3}
        # The two connections of an owner bring an order once.
        assert [i.connection for i in items if isinstance(i, OrderUpdate)] == [1]
        assert [info.number for info in market.connections()] == [1, 3]
        assert {(info.owner, info.account) for info in market.connections()} == {("bob", "bob1")}


def test_without_an_owner_all_is_there_and_each_owners_order(instance: FakeInstance) -> None:
    with attach(instance, None, from_="oldest") as market:
        send_everything(instance)
        items = all_items(market, 14)
        assert seen(items) == {0, 1, 2, 3}
        assert sorted(i.connection for i in items if isinstance(i, OrderUpdate)) == [0, 1]
        assert [market.owner_of(n) for n in range(5)] == [*OWNERS, *OWNERS, ""]


def test_an_unknown_owner_is_told_with_those_that_there_are(instance: FakeInstance) -> None:
    with pytest.raises(InstanceError, match="no owner 'carol'; it has: alice, bob"):
        attach(instance, "carol")


def test_latest_and_tokens_are_its_owners(instance: FakeInstance) -> None:
    with attach(instance, "alice") as market:
        own = {408065, 256265, 608065, 456265}
        assert set(market.tokens.tolist()) == own and set(market.modes()) == own
        assert market.latest([408065])["instrument_token"].tolist() == [408065]
        with pytest.raises(CapacityError):
            market.latest([508065])  # bob's alone


def test_a_connection_that_comes_later_is_its_owners(instance: FakeInstance) -> None:
    with attach(instance, "alice") as market:
        for _ in range(2):
            instance.add_connection()
        for number in (4, 5):
            instance.send(3, number)
        assert seen(all_items(market, 3)) == {4}
        assert [info.number for info in market.connections()] == [0, 2, 4]


@pytest.mark.parametrize(
    "use",
    [
        lambda market: market.batches(copy=False, connection=0),
        lambda market: market.frames(connection=0),
    ],
)
def test_another_owners_connection_cannot_be_named(
    instance: FakeInstance, use: Callable[[Market], object]
) -> None:
    with attach(instance, "bob") as market, pytest.raises(InstanceError, match="has: 1, 3"):
        use(market)


def test_a_state_of_another_owners_connection_is_not_told(instance: FakeInstance) -> None:
    with attach(instance, "alice") as market:
        instance.connections[1].lane.write_event(EventKind.STATE, state=State.RECONNECTING)
        instance.connections[0].lane.write_event(EventKind.STATE, state=State.LIVE)
        instance.bell.ring()
        items = [item for item in all_items(market, 0) if hasattr(item, "state")]
        assert {item.connection for item in items} <= {0}
