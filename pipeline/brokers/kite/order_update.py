"""A postback of Kite as OpenAlgo's clients are told of it. Floor 2; no I/O.

Wire facts: Kite Connect v3 documentation, "Postback" and "Orders" (statuses, order types). The
message has the keys that OpenAlgo's clients read, in the order in which its server sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

#: What OpenAlgo calls this broker.
BROKER_NAME: Final = "zerodha"

_ENDS: Final = {
    "COMPLETE": "complete",
    "REJECTED": "rejected",
    "CANCELLED": "cancelled",
    "CANCELLED AMO": "cancelled",
    "TRIGGER PENDING": "trigger pending",
}
#: Every other status is a step on the way (validation, modification): the order is open.
_OPEN: Final = "open"


def order_update(
    order: Mapping[str, Any], *, user: str, find: Callable[[int], str | None]
) -> dict[str, Any]:
    """Return the client message of a postback.

    user: whose account it is, as OpenAlgo names them. find: OpenAlgo's `EXCHANGE:SYMBOL` of an
    instrument token, or None; then the broker's own names stand.
    """
    exchange, symbol = _names(order, find)
    status = str(order.get("status") or "").upper()
    return {
        "type": "order_update",
        "user_id": user,
        "mode": "live",
        "broker": BROKER_NAME,
        "orderid": _text(order, "order_id"),
        "symbol": symbol,
        "exchange": exchange,
        "action": _text(order, "transaction_type"),
        "quantity": _number(order, "quantity"),
        "price": _number(order, "price"),
        "trigger_price": _number(order, "trigger_price"),
        "pricetype": _text(order, "order_type"),
        "product": _text(order, "product"),
        "order_status": _ENDS.get(status, _OPEN),
        "filled_quantity": _number(order, "filled_quantity"),
        "pending_quantity": _number(order, "pending_quantity"),
        "average_price": _number(order, "average_price"),
        "rejection_reason": _text(order, "status_message") if status == "REJECTED" else "",
    }


def _names(order: Mapping[str, Any], find: Callable[[int], str | None]) -> tuple[str, str]:
    token = order.get("instrument_token")
    key = find(token) if isinstance(token, int) else None
    if key is None:
        return _text(order, "exchange"), _text(order, "tradingsymbol")
    exchange, _, symbol = key.partition(":")
    return exchange, symbol


def _text(order: Mapping[str, Any], field: str) -> str:
    found = order.get(field)
    return "" if found is None else str(found)


def _number(order: Mapping[str, Any], field: str) -> int | float:
    found = order.get(field)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else 0
