"""KiteTicker's dicts from tick records: keys, types, times. The oracle test has the values."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import pipeline
from tests.brokers import kite_frames as make

LTP = ["tradable", "mode", "instrument_token", "last_price"]
QUOTE = [*LTP, "last_traded_quantity", "average_traded_price", "volume_traded",
         "total_buy_quantity", "total_sell_quantity", "ohlc", "change"]  # fmt: skip
FULL = [*QUOTE, "last_trade_time", "oi", "oi_day_high", "oi_day_low", "exchange_timestamp", "depth"]
INDEX = [*LTP, "ohlc", "change"]


def dicts(*bodies: bytes, **options: object) -> list[dict[str, object]]:
    ticks = pipeline.decode_frame("kite", make.frame(*bodies))
    return pipeline.to_kite_dicts(ticks, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "keys", "mode"),
    [
        (make.ltp(), LTP, "ltp"),
        (make.quote(), QUOTE, "quote"),
        (make.full(), FULL, "full"),
        (make.index(), INDEX, "quote"),
        (make.index(time=5), [*INDEX, "exchange_timestamp"], "full"),
        (make.quote(make.NIFTY_50), QUOTE, "quote"),
        (make.full(make.NIFTY_50), FULL, "full"),
        (make.index(make.INFY), INDEX, "quote"),
    ],
    ids=["ltp", "quote", "full", "index", "index full", "44 on index", "184 on index", "28 on NSE"],
)
def test_keys_follow_the_packet_kind(body: bytes, keys: list[str], mode: str) -> None:
    (tick,) = dicts(body)
    assert list(tick) == keys
    assert tick["mode"] == mode


def test_values_are_plain_python() -> None:
    (tick,) = dicts(make.full())
    assert type(tick["tradable"]) is bool
    assert type(tick["instrument_token"]) is int
    assert type(tick["last_price"]) is float
    assert type(tick["volume_traded"]) is int


def test_change_without_close_is_the_integer_zero() -> None:
    (tick,) = dicts(make.quote(close=0))
    assert (tick["change"], type(tick["change"])) == (0, int)


def test_times_are_naive_and_host_local() -> None:
    (tick,) = dicts(make.full())
    assert tick["exchange_timestamp"] == datetime.fromtimestamp(make.EXCHANGE_TIME)


def test_times_in_a_given_zone_are_aware() -> None:
    (tick,) = dicts(make.full(), tz=ZoneInfo("Asia/Kolkata"))
    expected = datetime.fromtimestamp(make.EXCHANGE_TIME, UTC)
    assert tick["exchange_timestamp"] == expected
    assert tick["exchange_timestamp"].isoformat().endswith("+05:30")  # type: ignore[attr-defined]


def test_a_zone_may_be_given_by_name() -> None:
    """As `doctor` writes it, and as `to_pandas` and the others take it."""
    assert dicts(make.full(), tz="Asia/Kolkata") == dicts(make.full(), tz=ZoneInfo("Asia/Kolkata"))
    with pytest.raises(ValueError, match="tz 'Mars': expected the name of a time zone"):
        dicts(make.full(), tz="Mars")


def test_a_missing_time_is_the_epoch() -> None:
    (tick,) = dicts(make.full(trade_time=0))
    assert tick["last_trade_time"] == datetime.fromtimestamp(0)


def test_a_record_that_never_was_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence is 0"):
        pipeline.to_kite_dicts(np.zeros(1, pipeline.tick_dtype))


def test_a_single_record_and_none_at_all() -> None:
    ticks = pipeline.decode_frame("kite", make.frame(make.ltp()))
    assert len(pipeline.to_kite_dicts(ticks[0:0])) == 0
    assert pipeline.to_kite_dicts(np.asarray(ticks[0])) == pipeline.to_kite_dicts(ticks)


@pytest.mark.parametrize(
    ("ticks", "found"),
    [
        (None, "NoneType"),
        ([{"last_price": 1.0}], "list"),
        (np.zeros(3), "dtype float64"),
        (np.zeros(3, [("last_price", "f8")]), "one with no field of name instrument_token"),
    ],
)
def test_what_holds_no_ticks_is_refused(ticks: object, found: str) -> None:
    with pytest.raises(TypeError) as caught:
        pipeline.to_kite_dicts(ticks)  # type: ignore[arg-type]
    told = "ticks: expected a structured array of pipeline.tick_dtype, found"
    assert str(caught.value) == f"{told} {found}"
