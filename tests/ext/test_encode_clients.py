"""Messages as the pickiest clients take them apart: by string search, or into sized types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from numpy.typing import NDArray

from ext.encode import MarketEncoder
from pipeline.core.layout import tick_dtype
from tests.ext.market_twin import unframe

KEY = 408065
EXCHANGE_MS = 1_761_157_800_000


def encoder() -> MarketEncoder:
    made = MarketEncoder()
    made.name(KEY, "M&M", "NSE", "zerodha")
    return made


def full_tick(**fields: object) -> NDArray[Any]:
    ticks = np.zeros(1, tick_dtype)
    ticks["mode"], ticks["instrument_token"] = 3, KEY
    ticks["last_price"], ticks["close"], ticks["last_traded_quantity"] = 1400.55, 1395.0, 25
    ticks["exchange_ts_ns"] = EXCHANGE_MS * 10**6
    ticks["receive_ts_ns"] = EXCHANGE_MS * 10**6 + 123_456_789
    ticks["bid_price"], ticks["bid_quantity"], ticks["bid_orders"] = 1400.5, 10, 1
    for name, value in fields.items():
        ticks[name] = value
    return ticks


def found_by_search(text: str, key: str) -> str:
    """Return what stands behind `"key":` up to a comma, as AmiBroker's plugin looks for it."""
    start = text.index(f'"{key}":') + len(key) + 3
    return text[start : text.index(",", start)]


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_string_searches_find_the_fields(mode: int) -> None:
    text = unframe(encoder().frame(full_tick(), 0, mode, KEY)).decode("ascii")
    assert found_by_search(text, "type") == '"market_data"'
    assert found_by_search(text, "symbol") == '"M&M"'
    assert found_by_search(text, "exchange") == '"NSE"'
    assert float(found_by_search(text, "ltp")) == 1400.55
    assert found_by_search(text, "timestamp") == str(EXCHANGE_MS)
    if mode > 1:
        assert found_by_search(text, "last_trade_quantity") == "25"


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_only_depth_has_a_book(mode: int) -> None:
    """A payload with a book is a depth event for a chart, and never one of the price."""
    data = json.loads(encoder().data(full_tick(), 0, mode, KEY))
    assert {"depth", "bids", "asks"} & data.keys() == (
        {"depth", "bids", "asks"} if mode == 3 else set()
    )
    if mode == 3:
        assert [len(data["depth"][side]) for side in ("buy", "sell")] == [5, 5]
        assert data["bids"] == data["depth"]["buy"] and data["asks"] == data["depth"]["sell"]


@pytest.mark.parametrize("carried", [1, 2])
def test_a_poorer_tick_pretends_nothing(carried: int) -> None:
    data = json.loads(encoder().data(full_tick(mode=carried), 0, 3, KEY))
    assert data["mode"] == "full"
    assert data.keys().isdisjoint({"depth", "bids", "asks", "oi", "bid_price", "ask_size"})
    assert ("volume" in data, "open" in data) == (carried == 2, carried == 2)


@pytest.mark.parametrize("exchange_ts_ns", [0, -1])
def test_times_are_the_exchanges_or_else_of_receipt(exchange_ts_ns: int) -> None:
    made = encoder()
    data = json.loads(made.data(full_tick(), 0, 1, KEY))
    assert (data["ltt"], data["timestamp"]) == (EXCHANGE_MS, EXCHANGE_MS)
    assert data["receive_timestamp"] == EXCHANGE_MS + 123
    data = json.loads(made.data(full_tick(exchange_ts_ns=exchange_ts_ns), 0, 1, KEY))
    assert data["ltt"] == data["timestamp"] == data["receive_timestamp"] == EXCHANGE_MS + 123


def numbers(value: object, key: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield each number of parsed JSON with the key that it has."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item, key)
    elif isinstance(value, int | float):
        yield key, value


INT32 = {"quantity", "orders", "mode", "last_quantity", "last_trade_quantity"}
INT32 |= {"bid_size", "ask_size"}
INT64 = {"timestamp", "ltt", "receive_timestamp", "last_trade_time", "volume", "oi"}
INT64 |= {"open_interest", "total_buy_quantity", "total_sell_quantity"}


@given(hypothesis_numpy.from_dtype(tick_dtype), st.integers(1, 3))
def test_numbers_fit_the_types_of_typed_clients(record: Any, mode: int) -> None:
    ticks = np.array([record], tick_dtype)
    ticks["mode"] = 3
    for key, value in numbers(json.loads(encoder().message(ticks, 0, mode, KEY))):
        bits = 31 if key in INT32 else 63 if key in INT64 else 0
        assert isinstance(value, int if bits else float), key
        assert not bits or -(2**bits) <= value < 2**bits, key
