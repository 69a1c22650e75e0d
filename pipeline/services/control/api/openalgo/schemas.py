"""What the OpenAPI document says of OpenAlgo's good answers. Floor 4; data."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

_NUMBER: Final[Schema] = {"type": "number"}
_INTEGER: Final[Schema] = {"type": "integer"}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties}


def _list(item: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": item, **more}


def answer(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Any:
    """Return the `responses` of a path whose good answer has these fields."""
    status: Schema = {"enum": ["success", "partial"]}
    schema = _object({"status": status, **required}, optional)
    content = {"application/json": {"schema": schema}}
    return {200: {"description": "What was asked for", "content": content}}


_QUOTE: Final = _object(
    {"ltp": _NUMBER},
    {
        "open": _NUMBER, "high": _NUMBER, "low": _NUMBER, "ask": _NUMBER, "bid": _NUMBER,
        "prev_close": _NUMBER, "volume": _INTEGER, "oi": _INTEGER,
    },
)  # fmt: skip
_SIDE: Final = _list(_object({"price": _NUMBER, "quantity": _INTEGER}), minItems=5, maxItems=5)
_DEPTH: Final = _object(
    {
        "open": _NUMBER, "high": _NUMBER, "low": _NUMBER, "ltp": _NUMBER, "ltq": _INTEGER,
        "prev_close": _NUMBER, "volume": _INTEGER, "oi": _INTEGER, "totalbuyqty": _INTEGER,
        "totalsellqty": _INTEGER, "asks": _SIDE, "bids": _SIDE,
    },
)  # fmt: skip
_ROW: Final = _object(
    {
        "id": _INTEGER, "symbol": _TEXT, "brsymbol": _TEXT, "name": _TEXT, "exchange": _TEXT,
        "brexchange": _TEXT, "token": _TEXT, "expiry": _TEXT, "strike": _NUMBER,
        "lotsize": _INTEGER, "instrumenttype": _TEXT, "tick_size": _NUMBER,
        "contract_value": _NUMBER,
    },
    {"freeze_qty": _INTEGER},
)  # fmt: skip
_RESULT: Final = _object(
    {
        "symbol": _TEXT, "exchange": _TEXT,
        "data": {"anyOf": [_QUOTE, {"type": "object", "maxProperties": 0}]},
    },
    {"error": _TEXT},
)  # fmt: skip
_NAMES: Final = ("months", "weeks", "days", "hours", "minutes", "seconds")
_ITEM: Final = _object({"symbol": _TEXT, "exchange": _TEXT}, {"message": _TEXT, "mode": _TEXT})

V1: Final[dict[str, Any]] = {
    "quotes": answer({"data": _QUOTE}),
    "multiquotes": answer({"results": _list(_RESULT)}),
    "depth": answer({"data": _DEPTH}),
    "symbol": answer({"data": _ROW}),
    "search": answer({"message": _TEXT, "data": _list(_ROW)}),
    "expiry": answer({"message": _TEXT, "data": _list(_TEXT)}),
    "intervals": answer({"data": _object({name: _list(_TEXT) for name in _NAMES})}),
    "ping": answer({"data": _object({"message": _TEXT, "broker": _TEXT})}),
    "history": {},
}
_CHANGED: Final = answer({"message": _TEXT, "successful": _list(_ITEM), "failed": _list(_ITEM)})
WEBSOCKET: Final[dict[str, Any]] = {
    "config": answer({"websocket_url": _TEXT, "is_secure": _FLAG, "original_url": _TEXT}),
    "apikey": answer({"api_key": _TEXT}),
    "status": answer({"connected": _FLAG, "authenticated": _FLAG, "broker": _TEXT}),
    "subscriptions": answer({"count": _INTEGER, "subscriptions": _list(_ITEM)}),
    "market-data": answer({"data": _QUOTE}),
    "health": {},
    "trade-safe": answer({"trade_management_safe": _FLAG, "trade_management_reason": _TEXT}),
    "metrics": answer({"metrics": {"type": "object"}}),
    "subscribe": _CHANGED,
    "unsubscribe": _CHANGED,
    "unsubscribe-all": answer({"message": _TEXT}),
}
