"""OpenAlgo's control messages: requests read, answers written. Floor 4; pure.

Wire facts: OpenAlgo's WebSocket proxy as its clients know it (`authenticate`, `subscribe`,
`unsubscribe`, ...). Errors have no `type`: clients tell them from answers by that. What a client
wrote comes back to it only where it needs it, bounded, and never the text of an exception.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

Request = Mapping[str, Any]

_decode: Final = msgspec.json.Decoder().decode
encode: Final = msgspec.json.Encoder().encode

LTP: Final = 1
QUOTE: Final = 2
DEPTH: Final = 3
MODES: Final = (LTP, QUOTE, DEPTH)
MODE_LABELS: Final = {LTP: "LTP", QUOTE: "Quote", DEPTH: "Depth"}
_MODE_WORDS: Final = {
    "1": LTP, "2": QUOTE, "3": DEPTH, "LTP": LTP, "QUOTE": QUOTE, "DEPTH": DEPTH,
}  # fmt: skip
#: How many levels of the book there are, whatever was asked for.
DEPTH_LEVELS: Final = 5

_ECHO_LENGTH_MAX: Final = 128
_SHOWN_LENGTH_MAX: Final = 64
_SYMBOL: Final = re.compile(r"[A-Z0-9&_.\- ]{1,64}")
_EXCHANGE: Final = re.compile(r"[A-Z_]{1,16}")
_NO_ITEM: Final = 'An item is an object with symbol and exchange, or "EXCHANGE:SYMBOL"'


class Item(NamedTuple):
    """An instrument as a client named it; `mode` is as written, None if it is not."""

    symbol: str
    exchange: str
    mode: object = None
    problem: str = ""

    @property
    def can_exist(self) -> bool:
        """Whether an instrument may be called so at all."""
        return bool(_SYMBOL.fullmatch(self.symbol) and _EXCHANGE.fullmatch(self.exchange))


def read(payload: bytes) -> object:
    """Return what a message says; ValueError when it is not JSON."""
    try:
        return _decode(payload)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_mode(written: object) -> int | None:
    """Return a mode as 1, 2 or 3; None for what is none."""
    if isinstance(written, str):
        return _MODE_WORDS.get(written[:_SHOWN_LENGTH_MAX].strip().upper())
    if isinstance(written, bool) or not isinstance(written, int):
        return None
    return written if written in MODES else None


def written_items(request: Request) -> Sequence[object] | None:
    """Return the instruments as they are written; None when the message names none."""
    for name in ("symbols", "instruments"):
        found = request.get(name)
        if isinstance(found, str | dict):
            found = [found]
        if isinstance(found, list) and found:
            return found
    if request.get("symbol"):
        return [request]
    return None


def read_item(written: object) -> Item | None:
    """Return an instrument as it was named; None where a name or an exchange is missing."""
    if isinstance(written, str):
        exchange, colon, symbol = written.partition(":")
        if colon and exchange and symbol:
            return Item(symbol, exchange)
        return Item(_bounded(written), "", problem=_NO_ITEM)
    if not isinstance(written, Mapping):
        return Item("", "", problem=_NO_ITEM)
    names = written.get("symbol"), written.get("exchange")
    if not all(names):
        return None
    if not (isinstance(names[0], str) and isinstance(names[1], str)):
        return Item("", "", problem=_NO_ITEM)
    return Item(names[0], names[1], written.get("mode"))


def shown(value: object) -> str:
    """Return a client's value for an error text: bounded, and nothing else of the message."""
    if isinstance(value, str):
        return _bounded(value)
    if value is None or isinstance(value, bool) or _is_plain_number(value):
        return str(value)
    return "a number" if isinstance(value, int | float) else "no word"


def error(code: str, text: str, request: Request | None = None) -> bytes:
    """Return an error; it says which request it is about if that had an id."""
    return encode({"status": "error", "code": code, "message": text, **_request_id(request)})


def authenticated(broker: str, user_id: str, request: Request) -> bytes:
    """Return the answer to a good key: short, some clients read it with a buffer of 1 KiB."""
    return encode(
        {
            "type": "auth",
            "status": "success",
            "message": "Authentication successful",
            "broker": broker,
            "user_id": user_id,
            "supported_features": {"ltp": True, "quote": True, "depth": True},
            **_request_id(request),
        }
    )


def item_done(item: Item, broker: str, mode: int | None = None) -> dict[str, object]:
    """Return what an answer says about an instrument that went well."""
    done: dict[str, object] = {
        "symbol": _bounded(item.symbol),
        "exchange": _bounded(item.exchange),
        "status": "success",
    }
    if mode is not None:
        done |= {"mode": MODE_LABELS[mode], "depth": DEPTH_LEVELS}
    return {**done, "broker": broker}


def item_failed(item: Item, broker: str, text: str) -> dict[str, object]:
    """Return what an answer says about an instrument that did not."""
    return {
        "symbol": _bounded(item.symbol),
        "exchange": _bounded(item.exchange),
        "status": "error",
        "message": text,
        "broker": broker,
    }


def not_found(item: Item) -> str:
    """Return the text for an instrument that nobody knows."""
    return f"Token not found for {_bounded(item.symbol)} on {_bounded(item.exchange)}"


def bad_mode(written: object) -> str:
    """Return the text for a mode that is none."""
    return f"Invalid mode: {shown(written)}; expected 1, 2, 3 or LTP, Quote, Depth"


def subscribed(items: Sequence[Mapping[str, object]], broker: str, request: Request) -> bytes:
    """Return the answer to a subscription: partial as soon as one item failed."""
    failed = any(item["status"] != "success" for item in items)
    return encode(
        {
            "type": "subscribe",
            "status": "partial" if failed else "success",
            "subscriptions": items,
            "message": "Subscription processing complete",
            "broker": broker,
            **_request_id(request),
        }
    )


def unsubscribed(
    successful: Sequence[Mapping[str, object]],
    failed: Sequence[Mapping[str, object]],
    *,
    broker: str,
    request: Request,
) -> bytes:
    """Return the answer to an unsubscription."""
    status = "success" if not failed else "partial" if successful else "error"
    return encode(
        {
            "type": "unsubscribe",
            "status": status,
            "message": "Unsubscription processing complete",
            "successful": successful,
            "failed": failed,
            "broker": broker,
            **_request_id(request),
        }
    )


def agreed(action: str, text: str, request: Request) -> bytes:
    """Return the answer to `subscribe_orders` and the like, which name no instruments."""
    return encode({"type": action, "status": "success", "message": text, **_request_id(request)})


def status(items: Sequence[Mapping[str, object]], broker: str) -> bytes:
    """Return what has no place in the pool, or has one again: said when it changes."""
    failed = any(item["status"] != "success" for item in items)
    return encode(
        {
            "type": "status",
            "status": "partial" if failed else "success",
            "subscriptions": items,
            "broker": broker,
        }
    )


def subscriptions(
    items: Sequence[Mapping[str, object]], *, with_orders: bool, broker: str, request: Request
) -> bytes:
    """Return what a client is subscribed to: one entry per instrument and mode."""
    return encode(
        {
            "type": "subscriptions",
            "status": "success",
            "subscriptions": items,
            "count": len(items),
            "orders": with_orders,
            "broker": broker,
            **_request_id(request),
        }
    )


def broker_info(broker: str, adapter_status: str, user_id: str, request: Request) -> bytes:
    """Return whose ticks these are."""
    return encode(
        {
            "type": "broker_info",
            "status": "success",
            "broker": broker,
            "adapter_status": adapter_status,
            "user_id": user_id,
            **_request_id(request),
        }
    )


def supported_brokers(brokers: Sequence[str], request: Request) -> bytes:
    """Return the names of the brokers."""
    return encode(
        {
            "type": "supported_brokers",
            "status": "success",
            "brokers": list(brokers),
            "count": len(brokers),
            **_request_id(request),
        }
    )


def pong(now_ms: int, request: Request) -> bytes:
    """Return the answer to a ping, with what the client sent along."""
    answer: dict[str, object] = {"type": "pong", "status": "success", "server_timestamp": now_ms}
    for name, own in (("timestamp", "client_timestamp"), ("_pingId", "_pingId")):
        if _can_be_echoed(request.get(name)):
            answer[own] = request[name]
    return encode({**answer, **_request_id(request)})


def _request_id(request: Request | None) -> dict[str, object]:
    found = None if request is None else request.get("request_id")
    return {"request_id": found} if _can_be_echoed(found) else {}


def _can_be_echoed(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _ECHO_LENGTH_MAX
    return _is_plain_number(value)


def _is_plain_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < 2**63
    return isinstance(value, float) and math.isfinite(value)


def _bounded(text: str) -> str:
    return text[:_SHOWN_LENGTH_MAX]
