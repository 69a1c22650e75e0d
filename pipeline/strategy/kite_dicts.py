"""Ticks as KiteTicker's callbacks receive them: a list of dicts. Floor 3.

The keys, their order of appearance and their types are those of kiteconnect 5.2.2; code that was
written for `on_ticks` can take these unchanged. Prices are signed here and unsigned there: they
differ only where a price is negative.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pipeline.core.enums import Mode, TickFlag
from pipeline.strategy.columns import described, no_ticks, zone_name

NS_PER_S: Final = 10**9
_MODE_NAMES: Final = {Mode.LTP: "ltp", Mode.QUOTE: "quote", Mode.FULL: "full"}

#: What the dicts are made of; records of more fields do.
_FIELDS: Final = (
    *("instrument_token", "mode", "flags", "last_price", "last_traded_quantity"),
    *("average_traded_price", "volume_traded", "total_buy_quantity", "total_sell_quantity"),
    *("open", "high", "low", "close", "change", "last_trade_ts_ns", "exchange_ts_ns"),
    *("oi", "oi_day_high", "oi_day_low", "bid_price", "bid_quantity", "bid_orders"),
    *("ask_price", "ask_quantity", "ask_orders"),
)

_ToDatetime = Callable[[int], datetime]
_Row = dict[str, Any]


def to_kite_dicts(ticks: NDArray[Any], tz: str | tzinfo | None = None) -> list[dict[str, Any]]:
    """Return the ticks as KiteTicker's list of dicts.

    ticks: (n,) tick_dtype array. Times are naive in the host's time zone, as KiteTicker's; with
    `tz`, a time zone or its name, they are aware. A missing time is the epoch, as there. Raises
    ValueError for a record without a mode, such as the answer for an instrument that was never
    seen, and for what is no time zone; TypeError for what holds no ticks.
    """
    to_datetime = _aware(_zone(tz)) if tz is not None else _host_local
    if not isinstance(ticks, np.ndarray | np.void) or ticks.dtype.names is None:
        raise no_ticks(described(ticks))
    ticks = ticks.reshape(-1)
    # By columns: tolist() of a whole record would leave its depth as numpy arrays.
    try:
        columns = [ticks[name].tolist() for name in _FIELDS]
    except ValueError as error:
        raise no_ticks(f"one with {error}") from None
    rows = zip(*columns, strict=True)
    return [_to_dict(dict(zip(_FIELDS, row, strict=True)), to_datetime) for row in rows]


def _to_dict(row: _Row, to_datetime: _ToDatetime) -> _Row:
    mode = _MODE_NAMES.get(row["mode"])
    if mode is None:
        raise ValueError(
            f"instrument {row['instrument_token']}: record with mode {row['mode']}; expected 1 "
            "(ltp), 2 (quote) or 3 (full); leave out records whose sequence is 0"
        )
    tick = {
        "tradable": bool(row["flags"] & TickFlag.TRADABLE),
        "mode": mode,
        "instrument_token": row["instrument_token"],
        "last_price": row["last_price"],
    }
    if row["mode"] == Mode.LTP:
        return tick
    is_full = row["mode"] == Mode.FULL
    if row["flags"] & TickFlag.INDEX_LAYOUT:
        _add_prices(tick, row, ("high", "low", "open", "close"))
        if is_full:
            tick["exchange_timestamp"] = to_datetime(row["exchange_ts_ns"])
        return tick
    for name in _QUOTE_FIELDS:
        tick[name] = row[name]
    _add_prices(tick, row, ("open", "high", "low", "close"))
    return _add_full(tick, row, to_datetime) if is_full else tick


_QUOTE_FIELDS: Final = (
    "last_traded_quantity",
    "average_traded_price",
    "volume_traded",
    "total_buy_quantity",
    "total_sell_quantity",
)


def _add_prices(tick: _Row, row: _Row, order: tuple[str, ...]) -> None:
    tick["ohlc"] = {name: row[name] for name in order}
    tick["change"] = row["change"] if row["close"] != 0 else 0


def _add_full(tick: _Row, row: _Row, to_datetime: _ToDatetime) -> _Row:
    tick["last_trade_time"] = to_datetime(row["last_trade_ts_ns"])
    tick["oi"] = row["oi"]
    tick["oi_day_high"] = row["oi_day_high"]
    tick["oi_day_low"] = row["oi_day_low"]
    tick["exchange_timestamp"] = to_datetime(row["exchange_ts_ns"])
    tick["depth"] = {"buy": _side(row, "bid"), "sell": _side(row, "ask")}
    return tick


def _side(row: _Row, side: str) -> list[_Row]:
    levels = zip(row[f"{side}_quantity"], row[f"{side}_price"], row[f"{side}_orders"], strict=True)
    return [
        {"quantity": quantity, "price": price, "orders": orders}
        for quantity, price, orders in levels
    ]


def _host_local(ts_ns: int) -> datetime:
    return datetime.fromtimestamp(ts_ns // NS_PER_S)


def _zone(tz: str | tzinfo) -> tzinfo:
    return tz if isinstance(tz, tzinfo) else ZoneInfo(zone_name(tz))


def _aware(tz: tzinfo) -> _ToDatetime:
    def to_datetime(ts_ns: int) -> datetime:
        return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).astimezone(tz)

    return to_datetime
