"""The text messages of the streaming protocol, and what clients say. Floor 4; no I/O.

Wire facts: Kite Connect v3 documentation, WebSocket streaming: request structure, postbacks and
non-binary updates; the two texts after the opening are known from captures only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Final, NamedTuple

MODES: Final = {"ltp": 1, "quote": 2, "full": 3}
_INDIA: Final = timezone(timedelta(hours=5, minutes=30))


class Command(NamedTuple):
    """One understood client message; `mode` is 0 unless the action is `mode`."""

    action: str
    tokens: list[object]
    mode: int = 0


def parse_command(text: str) -> Command | None:
    """Read a client's message; None for everything that the exchange would ignore."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    action, value = message.get("a"), message.get("v")
    if action in ("subscribe", "unsubscribe") and isinstance(value, list):
        return Command(action, value)
    if action != "mode" or not isinstance(value, list) or len(value) != 2:
        return None
    name, tokens = value
    if not isinstance(name, str) or name not in MODES or not isinstance(tokens, list):
        return None
    return Command(action, tokens, MODES[name])


def instruments_meta(count: int) -> str:
    """Return the first text after the opening."""
    etag = hashlib.sha256(str(count).encode()).hexdigest()[:8]
    return _dump({"type": "instruments_meta", "data": {"count": count, "etag": f'W/"{etag}"'}})


def app_code(now_s: float) -> str:
    """Return the second text after the opening, which has no `data`."""
    moment = datetime.fromtimestamp(int(now_s), _INDIA)
    return _dump({"type": "app_code", "timestamp": moment.isoformat()})


def error(text: str) -> str:
    """Return an error text."""
    return _dump({"type": "error", "data": text})


def over_limit(limit: int) -> str:
    """Return what a client hears that subscribes to too many instruments."""
    return error(f"Can't subscribe to more than {limit} instruments.")


def order(number: int, now_s: float, *, user: str, changes: Mapping[str, object]) -> str:
    """Return an order update: a completed market order, with `changes` laid over its fields."""
    stamp = datetime.fromtimestamp(int(now_s), _INDIA).strftime("%Y-%m-%d %H:%M:%S")
    order_id = f"{stamp[2:4]}{stamp[5:7]}{stamp[8:10]}{number:09d}"
    fields: dict[str, object] = {
        "user_id": user,
        "unfilled_quantity": 0,
        "app_id": 1,
        "checksum": hashlib.sha256(order_id.encode()).hexdigest(),
        "placed_by": user,
        "order_id": order_id,
        "exchange_order_id": f"1{number:015d}",
        "parent_order_id": None,
        "status": "COMPLETE",
        "status_message": None,
        "status_message_raw": None,
        "order_timestamp": stamp,
        "exchange_update_timestamp": stamp,
        "exchange_timestamp": stamp,
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "instrument_token": 408065,
        "order_type": "MARKET",
        "transaction_type": "BUY",
        "validity": "DAY",
        "product": "CNC",
        "quantity": 1,
        "disclosed_quantity": 0,
        "price": 0,
        "trigger_price": 0,
        "average_price": 1573.7,
        "filled_quantity": 1,
        "pending_quantity": 0,
        "cancelled_quantity": 0,
        "market_protection": 0,
        "meta": {},
        "tag": None,
        "guid": f"sim{number:06d}",
    }
    return _dump({"type": "order", "data": {**fields, **changes}})


def _dump(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))
