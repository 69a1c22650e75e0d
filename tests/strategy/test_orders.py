"""Order updates that several connections bring."""

from __future__ import annotations

from pipeline.strategy.orders import REMEMBERED_MAX, OrderFilter

ORDER = {
    "order_id": "1", "status": "OPEN", "exchange_update_timestamp": "t", "filled_quantity": 0,
}  # fmt: skip


def test_what_another_connection_has_brought_is_passed_over() -> None:
    orders = OrderFilter()
    assert orders.is_new(0, ORDER)
    assert not orders.is_new(1, dict(ORDER)) and not orders.is_new(2, dict(ORDER))
    assert orders.repeated == 2


def test_what_another_owner_has_brought_is_another_order() -> None:
    orders = OrderFilter()
    assert orders.is_new(0, ORDER, "alice") and orders.is_new(1, dict(ORDER), "bob")
    assert not orders.is_new(2, dict(ORDER), "bob") and not orders.is_new(3, dict(ORDER), "alice")


def test_what_one_connection_says_twice_is_passed_on_twice() -> None:
    orders = OrderFilter()
    assert orders.is_new(0, ORDER) and orders.is_new(0, ORDER)


def test_another_state_of_the_order_is_news_from_anybody() -> None:
    orders = OrderFilter()
    assert orders.is_new(0, ORDER)
    assert orders.is_new(1, {**ORDER, "status": "COMPLETE"})
    assert orders.is_new(1, {**ORDER, "filled_quantity": 5})
    assert orders.is_new(1, {**ORDER, "order_id": "2"})


def test_what_is_no_order_is_always_passed_on() -> None:
    orders = OrderFilter()
    for update in (None, {}, {"status": "OPEN"}, {"order_id": None}):
        assert orders.is_new(0, update) and orders.is_new(1, update)


def test_nonsense_in_the_fields_does_no_harm() -> None:
    orders = OrderFilter()
    odd = {**ORDER, "status": ["a", {"b": 1}], "filled_quantity": float("nan")}
    assert orders.is_new(0, odd)
    assert not orders.is_new(1, dict(odd))


def test_memory_is_bounded() -> None:
    orders = OrderFilter()
    for number in range(REMEMBERED_MAX + 10):
        assert orders.is_new(0, {**ORDER, "order_id": str(number)})
    assert not orders.is_new(1, {**ORDER, "order_id": str(REMEMBERED_MAX)})
    assert orders.is_new(1, {**ORDER, "order_id": "0"})  # too long ago
