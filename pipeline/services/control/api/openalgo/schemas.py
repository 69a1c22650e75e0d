"""What the OpenAPI document says of OpenAlgo's good answers. Floor 4; data."""

from __future__ import annotations

from typing import Any, Final

from pipeline.services.control.api.schema import (
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    Schema,
    all_of,
    good,
    list_of,
    or_null,
    record,
)


def answer(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Any:
    """Return the `responses` of a path whose good answer has these fields."""
    status: Schema = {"enum": ["success", "partial"]}
    return good(record({"status": status, **required}, optional))


_QUOTE: Final = record(
    {"ltp": NUMBER},
    {
        "open": NUMBER, "high": NUMBER, "low": NUMBER, "ask": NUMBER, "bid": NUMBER,
        "prev_close": NUMBER, "volume": INTEGER, "oi": INTEGER,
    },
)  # fmt: skip
_SIDE: Final = list_of(record({"price": NUMBER, "quantity": INTEGER}), minItems=5, maxItems=5)
_DEPTH: Final = record(
    {
        "open": NUMBER, "high": NUMBER, "low": NUMBER, "ltp": NUMBER, "ltq": INTEGER,
        "prev_close": NUMBER, "volume": INTEGER, "oi": INTEGER, "totalbuyqty": INTEGER,
        "totalsellqty": INTEGER, "asks": _SIDE, "bids": _SIDE,
    },
)  # fmt: skip
_ROW: Final = record(
    {
        "id": INTEGER, "symbol": TEXT, "brsymbol": TEXT, "name": TEXT, "exchange": TEXT,
        "brexchange": TEXT, "token": TEXT, "expiry": TEXT, "strike": NUMBER,
        "lotsize": INTEGER, "instrumenttype": TEXT, "tick_size": NUMBER,
        "contract_value": NUMBER,
    },
    {"freeze_qty": INTEGER},
)  # fmt: skip
_RESULT: Final = record(
    {
        "symbol": TEXT, "exchange": TEXT,
        "data": {"anyOf": [_QUOTE, {"type": "object", "maxProperties": 0}]},
    },
    {"error": TEXT},
)  # fmt: skip
_NAMES: Final = ("months", "weeks", "days", "hours", "minutes", "seconds")
_ITEM: Final = record({"symbol": TEXT, "exchange": TEXT}, {"message": TEXT, "mode": TEXT})

V1: Final[dict[str, Any]] = {
    "quotes": answer({"data": _QUOTE}),
    "multiquotes": answer({"results": list_of(_RESULT)}),
    "depth": answer({"data": _DEPTH}),
    "symbol": answer({"data": _ROW}),
    "search": answer({"message": TEXT, "data": list_of(_ROW)}),
    "instruments": answer({"message": TEXT, "data": list_of(_ROW)}),
    "expiry": answer({"message": TEXT, "data": list_of(TEXT)}),
    "intervals": answer({"data": record({name: list_of(TEXT) for name in _NAMES})}),
    "ping": answer({"data": record({"message": TEXT, "broker": TEXT})}),
    "history": {},
}
_HEALTH: Final = record(
    {
        **all_of(TEXT, "status", "trade_management_reason", "message"),
        **all_of(FLAG, "healthy", "connected", "authenticated", "data_flow_healthy"),
        "last_data_age_seconds": or_null(NUMBER),
        **all_of(INTEGER, "cache_size", "total_subscribers", "critical_subscribers"),
        **all_of(INTEGER, "total_updates_processed", "validation_errors", "stale_data_events"),
        **all_of(INTEGER, "reconnect_count"),
        "uptime_seconds": NUMBER,
        "trade_management_safe": FLAG,
    }
)
_CHANGED: Final = answer({"message": TEXT, "successful": list_of(_ITEM), "failed": list_of(_ITEM)})
WEBSOCKET: Final[dict[str, Any]] = {
    "config": answer({"websocket_url": TEXT, "is_secure": FLAG, "original_url": TEXT}),
    "apikey": answer({"api_key": TEXT}),
    "status": answer({"connected": FLAG, "authenticated": FLAG, "broker": TEXT}),
    "subscriptions": answer({"count": INTEGER, "subscriptions": list_of(_ITEM)}),
    "market-data": answer({"data": _QUOTE}),
    "health": good(_HEALTH),
    "trade-safe": answer({"trade_management_safe": FLAG, "trade_management_reason": TEXT}),
    "metrics": answer({"metrics": {"type": "object"}}),
    "subscribe": _CHANGED,
    "unsubscribe": _CHANGED,
    "unsubscribe-all": answer({"message": TEXT}),
}
