"""Ticks as market data messages: the compiled encoder says what its twin in plain Python says."""

from __future__ import annotations

import json
import random
import struct
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from numpy.typing import NDArray

from ext.decode import decode_frame_kite
from ext.encode import MarketEncoder, frame_bytes_max
from pipeline.core.enums import TickFlag
from pipeline.core.layout import tick_dtype
from pipeline.strategy.kite_dicts import to_kite_dicts
from tests.brokers import kite_frames as make
from tests.ext import market_twin
from tests.ext.market_twin import Text, unframe

KEY = 408065
NAMES = ("RELIANCE", "NSE", "zerodha")
PAYLOAD_MAX = 16_000  # what AmiBroker's plugin reads
RECEIVE_TS_NS = 1_761_157_800_001_234_567

_TOKENS = st.builds(
    lambda number, segment: number << 8 | segment, st.integers(0, 2**24 - 1), st.integers(0, 15)
)
_DIVISORS = market_twin.DIVISORS


def encoder(names: tuple[str, str, str] = NAMES) -> MarketEncoder:
    made = MarketEncoder()
    made.name(KEY, *names)
    return made


def one(**fields: object) -> NDArray[Any]:
    """Return one record: a full tick of nothing, and the fields on it."""
    ticks = np.zeros(1, tick_dtype)
    ticks["mode"], ticks["instrument_token"], ticks["receive_ts_ns"] = 3, KEY, RECEIVE_TS_NS
    for name, value in fields.items():
        ticks[name] = value
    return ticks


def parse(text: bytes) -> Any:
    """Read JSON as a strict parser does, with `Text` for each number that has a point."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text.decode("ascii"), parse_float=Text, parse_constant=refuse)


def typed(value: object) -> object:
    """Return the value with the type of each leaf beside it: 1, 1.0 and "1" are three things."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def assert_equals_twin(ticks: NDArray[Any], mode: int) -> None:
    made = encoder()
    expected = typed(market_twin.message(ticks[0], mode, *NAMES))
    message = made.message(ticks, 0, mode, KEY)
    assert typed(parse(message)) == expected
    assert unframe(made.frame(ticks, 0, mode, KEY)) == message
    assert message.count(made.data(ticks, 0, mode, KEY)) == 1
    assert len(message) < PAYLOAD_MAX


@st.composite
def _market_ticks(draw: st.DrawFn) -> NDArray[Any]:
    """Records as a decoder makes them: prices are 32-bit integers over the segment's divisor."""
    ticks = one(instrument_token=draw(_TOKENS), mode=draw(st.integers(1, 3)))
    divisor = _DIVISORS.get(int(ticks["instrument_token"][0]) & 0xFF, 100)
    integers = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-100, 200_000))
    for name in ("last_price", "average_traded_price", "open", "high", "low", "close"):
        ticks[name] = draw(integers) / divisor
    for name in ("bid_price", "ask_price"):
        ticks[name] = [draw(integers) / divisor for _ in range(5)]
    for name in ("bid_quantity", "ask_quantity"):
        ticks[name] = [draw(st.sampled_from((0, 1, 2**31 - 1, 2**31, 2**32 - 1))) for _ in "12345"]
    for name in ("bid_orders", "ask_orders"):
        ticks[name] = draw(st.lists(st.integers(0, 2**16 - 1), min_size=5, max_size=5))
    for name in ("volume_traded", "total_buy_quantity", "total_sell_quantity", "oi"):
        ticks[name] = draw(st.one_of(st.integers(0, 2**64 - 1), st.just(2**63)))
    ticks["last_traded_quantity"] = draw(st.integers(0, 2**32 - 1))
    for name in ("exchange_ts_ns", "last_trade_ts_ns"):
        ticks[name] = draw(st.one_of(st.just(0), st.integers(0, 2**32))) * 10**9
    ticks["flags"] = draw(st.sampled_from((0, TickFlag.INDEX_LAYOUT, TickFlag.TRADABLE, 0xFFF)))
    last, close = float(ticks["last_price"][0]), float(ticks["close"][0])
    ticks["change"] = (last - close) * 100 / close if close else 0.0
    return ticks


@given(_market_ticks(), st.integers(1, 3))
def test_a_market_tick_equals_its_twin(ticks: NDArray[Any], mode: int) -> None:
    assert_equals_twin(ticks, mode)


@given(hypothesis_numpy.from_dtype(tick_dtype), st.integers(1, 3), st.integers(1, 3))
def test_any_record_equals_its_twin(record: Any, carried: int, mode: int) -> None:
    ticks = np.array([record], tick_dtype)
    ticks["mode"] = carried
    assert_equals_twin(ticks, mode)


@given(st.floats(min_value=1e-10, max_value=2**53, exclude_max=True), st.booleans())
@example(2.0**-33, False)
@example(2.0**52, True)
@example(9007199254740991.0, False)
@example(123456789012345.67, True)
@example(1e15, False)
@example(999999999999999.9, False)
@settings(max_examples=1000)
def test_a_double_has_its_shortest_text(value: float, negative: bool) -> None:
    value = -value if negative else value
    text = encoder().data(one(last_price=value), 0, 1, KEY)
    assert parse(text)["ltp"] == market_twin.decimal(value)
    assert json.loads(text)["ltp"] == value


def test_powers_of_two_have_their_shortest_text() -> None:
    """Below a power of two the next double is only half as far away as above it."""
    made = encoder()
    for exponent in range(-33, 53):
        for bits in (-1, 0, 1):
            raw = struct.unpack("<q", struct.pack("<d", 2.0**exponent))[0] + bits
            value = struct.unpack("<d", struct.pack("<q", raw))[0]
            if value >= 1e-10:
                text = parse(made.data(one(last_price=value), 0, 1, KEY))["ltp"]
                assert text == market_twin.decimal(value), value


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**53, 1e300, 5e-324, 9.9e-11])
def test_what_is_no_price_is_left_out(value: float) -> None:
    ticks = one(last_price=value, open=value, close=100.0, bid_price=value, bid_quantity=5)
    found = json.loads(encoder().data(ticks, 0, 3, KEY))
    assert found.keys().isdisjoint({"ltp", "open", "bid_price"})
    assert found["close"] == 100.0
    assert found["depth"]["buy"] == [{"quantity": 5, "orders": 0}] * 5


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("segment", make.SEGMENTS)
@pytest.mark.parametrize("size", make.SIZES)
def test_values_are_those_of_kite_dicts(size: int, segment: int, mode: int) -> None:
    body = make.random_body(random.Random(size * segment), size=size, segment=segment)
    ticks = decode_frame_kite(make.frame(body), receive_ts_ns=RECEIVE_TS_NS)
    tick = to_kite_dicts(ticks)[0]
    found = json.loads(encoder().data(ticks, 0, mode, KEY))
    assert found["ltp"] == tick["last_price"]
    if mode == 1 or tick["mode"] == "ltp":
        assert found.keys() == {
            *("symbol", "exchange", "mode", "ltp", "ltt", "timestamp", "receive_timestamp")
        }
        return
    assert {name: found[name] for name in ("open", "high", "low", "close")} == tick["ohlc"]
    assert found.get("change_percent", 0) == tick["change"]
    assert found.get("volume") == tick.get("volume_traded")
    assert found.get("avg_trade_price") == tick.get("average_traded_price")
    assert found.get("oi") == tick.get("oi")
    depth = tick.get("depth") if mode == 3 else None
    assert found.get("depth") == clamped(depth)


def clamped(depth: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the book as clients can read it: they have signed 32-bit quantities."""
    if depth is None:
        return None
    return {
        side: [{**level, "quantity": min(level["quantity"], 2**31 - 1)} for level in levels]
        for side, levels in depth.items()
    }


def test_a_known_tick_byte_for_byte() -> None:
    ticks = one(
        last_price=1400.55, open=1390.0, high=1410.0, low=1385.0, close=1395.0, change=0.5,
        volume_traded=123457, last_traded_quantity=5, average_traded_price=1399.0,
        exchange_ts_ns=1_761_157_800 * 10**9, total_buy_quantity=7, total_sell_quantity=8,
    )  # fmt: skip
    ticks["mode"] = 2
    assert encoder().message(ticks, 0, 2, KEY) == (
        b'{"type":"market_data","symbol":"RELIANCE","exchange":"NSE","mode":2,"data":{'
        b'"symbol":"RELIANCE","exchange":"NSE","mode":"quote","ltp":1400.55,"ltt":1761157800000,'
        b'"timestamp":1761157800000,"receive_timestamp":1761157800001,"open":1390.0,"high":1410.0,'
        b'"low":1385.0,"close":1395.0,"change":5.55,"change_percent":0.5,"volume":123457,'
        b'"last_quantity":5,"last_trade_quantity":5,"average_price":1399.0,"avg_trade_price":1399.0,'
        b'"total_buy_quantity":7,"total_sell_quantity":8},"broker":"zerodha"}'
    )


@pytest.mark.parametrize(
    "symbol",
    ["M&M", 'a"b', "a\\b", "ü€𝄞", "a\nb\x00\x1f\x7f", "</script>", "", "\u2028", "x" * 300],
)
def test_names_are_valid_json(symbol: str) -> None:
    names = (symbol, symbol + "E", symbol + "B")
    message = encoder(names).message(one(), 0, 3, KEY)
    found = json.loads(message.decode("ascii"))
    assert (found["symbol"], found["exchange"], found["broker"]) == names
    assert (found["data"]["symbol"], found["data"]["exchange"]) == names[:2]
    assert found["mode"] == 3


@given(st.text(max_size=40))
def test_any_names_are_valid_json(text: str) -> None:
    found = json.loads(encoder((text, text[::-1], text)).message(one(), 0, 1, KEY))
    assert (found["symbol"], found["data"]["exchange"], found["broker"]) == (text, text[::-1], text)


def test_names_that_cannot_be_sent_are_refused() -> None:
    made = MarketEncoder()
    with pytest.raises(ValueError, match="surrogates"):
        made.name(1, "a\ud800", "NSE", "zerodha")
    with pytest.raises(ValueError, match=r"key 1 take .* 4,096 are allowed"):
        made.name(1, "x" * 2100, "NSE", "zerodha")
    with pytest.raises(TypeError):
        made.name(1, None, "NSE", "zerodha")  # type: ignore[arg-type]
    for key in (-1, 2**32):
        with pytest.raises(OverflowError):
            made.name(key, *NAMES)
    assert len(made) == 0 and 1 not in made


def test_a_key_can_be_named_again_and_encoders_do_not_share_names() -> None:
    first, second = encoder(), encoder(("OTHER", "BSE", "paper"))
    first.name(KEY, "NEW", "NSE", "zerodha")
    assert json.loads(first.data(one(), 0, 1, KEY))["symbol"] == "NEW"
    assert json.loads(second.data(one(), 0, 1, KEY))["symbol"] == "OTHER"
    assert KEY in first and KEY + 1 not in first and len(first) == 1
    for key in (0, 2**32 - 1):
        first.name(key, f"K{key}", "NSE", "zerodha")
        assert json.loads(first.data(one(), 0, 1, key))["symbol"] == f"K{key}"


def test_frame_header_has_the_shortest_length() -> None:
    made, ticks = MarketEncoder(), one(receive_ts_ns=0)
    seen = set()
    for size in range(40):
        made.name(KEY, "", "", "b" * size)
        frame = made.frame(ticks, 0, 1, KEY)
        payload = unframe(frame)
        assert payload == made.message(ticks, 0, 1, KEY)
        seen.add(len(frame) - len(payload))
        assert len(frame) - len(payload) == (2 if len(payload) < 126 else 4)
    assert seen == {4}  # no message is that short; the short form has a test of its own in C
    made.name(KEY, "x" * 900, "", "b" * 2000)
    assert len(unframe(made.frame(one(), 0, 3, KEY))) > 4096


def test_the_longest_message_is_within_bounds() -> None:
    long = -1.2345678901234567e-10
    ticks = one(exchange_ts_ns=2**63 - 1, last_trade_ts_ns=2**63 - 1, receive_ts_ns=-(2**63))
    for name in ticks.dtype.names or ():
        if ticks[name].dtype.kind == "f":
            ticks[name] = long
        elif ticks[name].dtype.kind == "u" and name not in ("mode", "flags"):
            ticks[name] = np.iinfo(ticks[name].dtype).max
    names = ("x" * 1355, "", "")
    made = encoder(names)
    frame = made.frame(ticks, 0, 3, KEY)
    fields = len(frame) - len(made.data(one(mode=1), 0, 1, KEY))
    assert fields < 4096 and len(frame) < frame_bytes_max < PAYLOAD_MAX
    assert typed(parse(unframe(frame))) == typed(market_twin.message(ticks[0], 3, *names))


def test_positions_and_strides() -> None:
    made, ticks = encoder(), np.repeat(one(), 6)
    ticks["last_price"] = [1.25, 2.25, 3.25, 4.25, 5.25, 6.25]

    def ltp(array: NDArray[Any], i: int) -> float:
        return float(json.loads(made.data(array, i, 1, KEY))["ltp"])

    assert [ltp(ticks, i) for i in range(6)] == [1.25, 2.25, 3.25, 4.25, 5.25, 6.25]
    assert ltp(ticks[::2], 2) == 5.25
    assert ltp(ticks[::-1], 0) == 6.25
    ticks.setflags(write=False)
    assert ltp(ticks[1:], 0) == 2.25
    for i in (-1, 6, 2**40):
        with pytest.raises(IndexError, match=f"position {i} of 6 ticks"):
            made.frame(ticks, i, 1, KEY)
    with pytest.raises(IndexError):
        made.frame(ticks[:0], 0, 1, KEY)


def test_wrong_calls_say_what_is_wrong() -> None:
    made, ticks = encoder(), one()
    for encode in (made.frame, made.message, made.data):
        with pytest.raises(KeyError, match=r"no names for key 7; give them with name\(\)"):
            encode(ticks, 0, 1, 7)
        for mode in (0, 4, -1):
            with pytest.raises(ValueError, match=f"mode {mode}; expected 1"):
                encode(ticks, 0, mode, KEY)
        with pytest.raises(ValueError, match=r"expected an \(n,\) array of tick_dtype, 320 bytes"):
            encode(np.zeros(4), 0, 1, KEY)
        with pytest.raises(ValueError, match="of 314 bytes an item; .* copy them into"):
            encode(np.concatenate([ticks, ticks]), 0, 1, KEY)
        with pytest.raises(ValueError, match="do not lie at multiples of 8 bytes"):
            encode(np.frombuffer(bytes(321), tick_dtype, offset=1), 0, 1, KEY)
        with pytest.raises(ValueError, match="2 dimensions"):
            encode(ticks.reshape(1, 1), 0, 1, KEY)
        with pytest.raises(TypeError):
            encode([1], 0, 1, KEY)  # type: ignore[arg-type]
    for carried in (0, 4, 255):
        with pytest.raises(ValueError, match=f"record with mode {carried}; expected 1 to 3"):
            made.frame(one(mode=carried), 0, 1, KEY)


def test_a_frame_is_not_changed_by_the_next_one() -> None:
    made = encoder()
    first = made.frame(one(last_price=1.5), 0, 1, KEY)
    copy = bytes(bytearray(first))
    made.frame(one(last_price=2.5), 0, 3, KEY)
    assert first == copy


def test_nothing_is_held_on_to() -> None:
    made, ticks = encoder(), one()
    before = sys.getrefcount(ticks)
    for _ in range(100):
        made.frame(ticks, 0, 3, KEY)
        with pytest.raises(IndexError):
            made.frame(ticks, 3, 3, KEY)
        with pytest.raises(ValueError, match="2 dimensions"):
            made.data(ticks.reshape(1, 1), 0, 3, KEY)
        made.name(KEY, *NAMES)
    assert sys.getrefcount(ticks) == before and len(made) == 1


def test_names_of_thousands_stay_apart() -> None:
    made, ticks = MarketEncoder(), one()
    keys = [number << 8 | 1 for number in range(3000)]
    for key in keys:
        made.name(key, f"S{key}", "NSE", "zerodha")
    assert len(made) == len(keys)
    for key in keys:
        assert json.loads(made.data(ticks, 0, 1, key))["symbol"] == f"S{key}"
