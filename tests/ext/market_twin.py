"""The encoder's twin in plain Python: a tick record -> the message as a dict.

Numbers are written by Python's own `repr`, so that a comparison of texts says that the compiled
ones are the shortest that are exact. Shares no code and no table with `ext/market_json.h`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, Final

from pipeline.core.enums import Mode, TickFlag

MODE_NAMES: Final = {1: "ltp", 2: "quote", 3: "full"}
DIVISORS: Final = {3: 10**7, 6: 10**4, 12: 10**4}
I32_MAX: Final = 2**31 - 1
I64_MAX: Final = 2**63 - 1
NS_PER_MS: Final = 10**6


class Text(str):
    """The text of a number with a point, to tell it from a string."""


def decimal(value: float) -> Text | None:
    """Return the shortest text of a double, without an exponent; None if there is to be none."""
    if value == 0:
        return Text("0.0")
    if not 1e-10 <= abs(value) < 2**53:  # also what is no number
        return None
    text = format(Decimal(repr(value)), "f")
    return Text(text if "." in text else text + ".0")


def message(tick: Any, mode: int, symbol: str, exchange: str, broker: str) -> dict[str, Any]:
    """Return the message of one record, with `Text` for each number that has a point."""
    return {
        "type": "market_data",
        "symbol": symbol,
        "exchange": exchange,
        "mode": mode,
        "data": data(tick, mode, symbol, exchange),
        "broker": broker,
    }


def data(tick: Any, mode: int, symbol: str, exchange: str) -> dict[str, Any]:
    record = {name: tick[name].tolist() for name in tick.dtype.names}
    receive_ms = record["receive_ts_ns"] // NS_PER_MS
    exchange_ns = record["exchange_ts_ns"]
    exchange_ms = exchange_ns // NS_PER_MS if exchange_ns > 0 else receive_ms
    fields = {
        "symbol": symbol,
        "exchange": exchange,
        "mode": MODE_NAMES[mode],
        "ltp": decimal(record["last_price"]),
        "ltt": exchange_ms,
        "timestamp": exchange_ms,
        "receive_timestamp": receive_ms,
    }
    if mode >= Mode.QUOTE and record["mode"] >= Mode.QUOTE:
        fields |= _quote(record)
        if record["mode"] == Mode.FULL and not record["flags"] & TickFlag.INDEX_LAYOUT:
            fields |= _best(record)
            if mode == Mode.FULL:
                fields |= _depth(record)
    return {key: value for key, value in fields.items() if value is not None}


def _quote(record: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {n: decimal(record[n]) for n in ("open", "high", "low", "close")}
    if record["close"] != 0:
        fields["change"] = _difference(record)
        fields["change_percent"] = decimal(record["change"])
    if record["flags"] & TickFlag.INDEX_LAYOUT:
        return fields
    quantity = min(record["last_traded_quantity"], I32_MAX)
    average = decimal(record["average_traded_price"])
    return fields | {
        "volume": min(record["volume_traded"], I64_MAX),
        "last_quantity": quantity,
        "last_trade_quantity": quantity,
        "average_price": average,
        "avg_trade_price": average,
        "total_buy_quantity": min(record["total_buy_quantity"], I64_MAX),
        "total_sell_quantity": min(record["total_sell_quantity"], I64_MAX),
    }


def _difference(record: dict[str, Any]) -> Text | None:
    """Exact in decimals where both prices are whole units of their segment, else of doubles."""
    divisor = DIVISORS.get(record["instrument_token"] & 0xFF, 100)
    units = [_units(record[name], divisor) for name in ("last_price", "close")]
    if None in units:
        return decimal(record["last_price"] - record["close"])
    return decimal((units[0] - units[1]) / divisor)


def _units(price: float, divisor: int) -> int | None:
    if not math.isfinite(price) or abs(price * divisor) >= 1e15:
        return None
    units = round(price * divisor)
    return units if units / divisor == price else None


def _best(record: dict[str, Any]) -> dict[str, Any]:
    trade_ns = record["last_trade_ts_ns"]
    oi = min(record["oi"], I64_MAX)
    return {
        "last_trade_time": trade_ns // NS_PER_MS if trade_ns > 0 else None,
        "oi": oi,
        "open_interest": oi,
        "bid_price": decimal(record["bid_price"][0]),
        "ask_price": decimal(record["ask_price"][0]),
        "bid_size": min(record["bid_quantity"][0], I32_MAX),
        "ask_size": min(record["ask_quantity"][0], I32_MAX),
    }


def _depth(record: dict[str, Any]) -> dict[str, Any]:
    buy, sell = _side(record, "bid"), _side(record, "ask")
    return {"depth": {"buy": buy, "sell": sell}, "bids": buy, "asks": sell}


def _side(record: dict[str, Any], side: str) -> list[dict[str, Any]]:
    rows = zip(
        record[f"{side}_price"], record[f"{side}_quantity"], record[f"{side}_orders"], strict=True
    )
    levels = [
        {"price": decimal(price), "quantity": min(quantity, I32_MAX), "orders": orders}
        for price, quantity, orders in rows
    ]
    return [{k: v for k, v in level.items() if v is not None} for level in levels]


def unframe(frame: bytes) -> bytes:
    """Return the payload of one final, unmasked text frame whose length has its shortest form."""
    assert frame[0] == 0x81
    size, start = frame[1], 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], "big"), 4
        assert size >= 126
    assert size < 2**16 and len(frame) == start + size
    return frame[start:]
