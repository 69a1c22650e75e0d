"""Kite's postbacks as OpenAlgo's clients are told of them."""

from __future__ import annotations

import json

import pytest

from pipeline.brokers.kite.order_update import order_update
from pipeline.sim import texts

KEYS = [
    "type", "user_id", "mode", "broker", "orderid", "symbol", "exchange", "action", "quantity",
    "price", "trigger_price", "pricetype", "product", "order_status", "filled_quantity",
    "pending_quantity", "average_price", "rejection_reason",
]  # fmt: skip


def postback(**changes: object) -> dict[str, object]:
    text = texts.order(7, 1_761_157_800.0, user="AB1234", changes=changes)
    found = json.loads(text)["data"]
    assert isinstance(found, dict)
    return found


def test_every_key_with_its_type() -> None:
    order = postback(status="OPEN", quantity=5, filled_quantity=2, pending_quantity=3, price=1573.7)
    found = order_update(order, user="alice", find=lambda token: None)
    assert list(found) == KEYS
    assert found == {
        "type": "order_update", "user_id": "alice", "mode": "live", "broker": "zerodha",
        "orderid": order["order_id"], "symbol": "INFY", "exchange": "NSE", "action": "BUY",
        "quantity": 5, "price": 1573.7, "trigger_price": 0, "pricetype": "MARKET",
        "product": "CNC", "order_status": "open", "filled_quantity": 2, "pending_quantity": 3,
        "average_price": 1573.7, "rejection_reason": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("COMPLETE", "complete"),
        ("REJECTED", "rejected"),
        ("CANCELLED", "cancelled"),
        ("CANCELLED AMO", "cancelled"),
        ("TRIGGER PENDING", "trigger pending"),
        ("OPEN", "open"),
        ("OPEN PENDING", "open"),
        ("MODIFY VALIDATION PENDING", "open"),
        ("UPDATE", "open"),
        (None, "open"),
    ],
)
def test_statuses(status: str | None, told: str) -> None:
    found = order_update(postback(status=status), user="alice", find=lambda token: None)
    assert found["order_status"] == told


def test_a_rejection_says_why() -> None:
    order = postback(status="REJECTED", status_message="Insufficient funds")
    found = order_update(order, user="alice", find=lambda token: None)
    assert found["rejection_reason"] == "Insufficient funds"


def test_names_are_openalgos_where_they_differ() -> None:
    order = postback(tradingsymbol="NIFTY2410421500CE", exchange="NFO", instrument_token=12_345)
    names = {12_345: "NFO:NIFTY04JAN2421500CE"}
    found = order_update(order, user="alice", find=names.get)
    assert (found["exchange"], found["symbol"]) == ("NFO", "NIFTY04JAN2421500CE")


def test_what_is_missing_or_odd_has_a_value_of_its_type() -> None:
    found = order_update(
        {"order_id": 5, "quantity": None, "price": True, "instrument_token": "x"},
        user="alice", find=lambda token: None,
    )  # fmt: skip
    assert list(found) == KEYS
    assert (found["orderid"], found["quantity"], found["price"]) == ("5", 0, 0)
    assert (found["symbol"], found["exchange"], found["order_status"]) == ("", "", "open")
