"""The compiled decoder on both its paths, and its plain-Python twin, under the same tests."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from ext.decode import DecodeStatus, KiteDecoder, decode_frame_kite
from pipeline.brokers.kite import wire
from pipeline.core.enums import Broker, Mode, TickFlag
from pipeline.core.layout import tick_dtype
from tests.brokers import kite_frames as make

NS = 10**9
OHLC = ("open", "high", "low", "close")


class Outcome(NamedTuple):
    """What a whole frame became: the end's name and the remarks and drops that are not zero."""

    end: str
    counts: dict[str, int]


def _compiled_outcome(frame: bytes, *, portable: bool = False) -> Outcome:
    decoder = KiteDecoder(capacity=70_000, portable=portable)
    status, _, _ = decoder.decode_unit(frame)
    while status == DecodeStatus.DECODE_MORE:
        index, offset = decoder.position
        status, _, _ = decoder.decode_unit(frame, packet_index=index, packet_offset=offset)
    wanted = ("packets_in", "packets_unknown_size", "packets_segment_mismatch",
              "packets_unknown_segment", "ticks_out", "ticks_flagged")  # fmt: skip
    counters = decoder.counters
    return Outcome(
        status.name.removeprefix("DECODE_").lower(),
        {name: counters[name] for name in wanted if counters[name]},
    )


def _twin_outcome(frame: bytes) -> Outcome:
    bodies, end = wire.split_frame(frame)
    known = [body for body in bodies if len(body) in wire.PACKET_SIZES]
    tokens = [wire.TOKEN.unpack_from(body)[0] for body in known]
    doubts = ~(TickFlag.TRADABLE | TickFlag.INDEX_LAYOUT)
    counts = {
        "packets_in": len(bodies),
        "packets_unknown_size": len(bodies) - len(known),
        "packets_segment_mismatch": sum(map(wire.is_segment_mismatch, known)),
        "packets_unknown_segment": sum(not wire.is_known_segment(token) for token in tokens),
        "ticks_out": len(known),
        "ticks_flagged": int(np.count_nonzero(wire.decode_frame(frame)["flags"] & int(doubts))),
    }
    return Outcome(end.value, {name: count for name, count in counts.items() if count})


class Decoder(NamedTuple):
    decode: Callable[..., Any]
    outcome: Callable[[bytes], Outcome]


@pytest.fixture(params=["compiled", "portable", "twin"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    """`compiled` uses what the processor has, `portable` the path that every one can run."""
    if request.param == "compiled":
        return Decoder(decode_frame_kite, _compiled_outcome)
    if request.param == "portable":
        return Decoder(
            partial(decode_frame_kite, portable=True), partial(_compiled_outcome, portable=True)
        )
    return Decoder(wire.decode_frame, _twin_outcome)


class TestFields:
    def test_ltp_packet_has_a_price_and_nothing_else(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.ltp(last=157_370)))
        assert tick["instrument_token"] == make.INFY
        assert tick["mode"] == Mode.LTP
        assert tick["last_price"] == 1573.70
        assert tick["flags"] == TickFlag.TRADABLE
        carried = {"instrument_token", "mode", "last_price", "flags", "broker"}
        for name in set(tick_dtype.names or ()) - carried:
            assert not np.any(tick[name]), name

    def test_index_packet_is_high_low_open_close(self, decoder: Decoder) -> None:
        """The trap: index packets order OHLC differently from quote packets."""
        (tick,) = decoder.decode(make.frame(make.index(high=4, low=1, open_=3, close=2)))
        assert [tick[name] for name in OHLC] == [0.03, 0.04, 0.01, 0.02]
        assert tick["mode"] == Mode.QUOTE
        assert tick["flags"] == TickFlag.INDEX_LAYOUT

    def test_quote_packet_is_open_high_low_close(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.quote(open_=3, high=4, low=1, close=2)))
        assert [tick[name] for name in OHLC] == [0.03, 0.04, 0.01, 0.02]
        assert tick["mode"] == Mode.QUOTE

    def test_index_with_time_is_full(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.index(time=make.EXCHANGE_TIME)))
        assert tick["mode"] == Mode.FULL
        assert tick["flags"] == TickFlag.INDEX_LAYOUT
        assert tick["exchange_ts_ns"] == make.EXCHANGE_TIME * NS
        assert tick["last_price"] == 9126.85

    def test_quote_quantities(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.quote()))
        assert tick["last_traded_quantity"] == 7
        assert tick["average_traded_price"] == 1570.37
        assert tick["volume_traded"] == 1_192_471
        assert tick["total_buy_quantity"] == 256_443
        assert tick["total_sell_quantity"] == 363_009
        assert tick["exchange_ts_ns"] == 0
        assert not tick["bid_quantity"].any()

    def test_full_packet_has_oi_times_and_depth(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.full()))
        assert tick["mode"] == Mode.FULL
        assert (tick["oi"], tick["oi_day_high"], tick["oi_day_low"]) == (5_000, 6_000, 4_000)
        assert tick["last_trade_ts_ns"] == make.TRADE_TIME * NS
        assert tick["exchange_ts_ns"] == make.EXCHANGE_TIME * NS
        for side, levels in (("bid", make.BIDS), ("ask", make.ASKS)):
            quantities, prices, orders = zip(*levels, strict=True)
            assert tick[f"{side}_quantity"].tolist() == list(quantities)
            assert tick[f"{side}_price"].tolist() == [price / 100 for price in prices]
            assert tick[f"{side}_orders"].tolist() == list(orders)

    def test_change_is_percent_of_close(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.quote(last=157_370, close=156_780)))
        assert tick["change"] == (1573.70 - 1567.80) * 100 / 1567.80

    @pytest.mark.parametrize(
        "body",
        [make.quote(close=0), make.index(close=0), make.full(close=0)],
        ids=["quote", "index", "full"],
    )
    def test_change_without_close_is_zero(self, decoder: Decoder, body: bytes) -> None:
        (tick,) = decoder.decode(make.frame(body))
        assert tick["change"] == 0

    def test_change_of_an_index_is_not_the_wire_field(self, decoder: Decoder) -> None:
        (tick,) = decoder.decode(make.frame(make.index(last=90, close=100, change=12_345)))
        assert tick["change"] == (0.9 - 1.0) * 100 / 1.0

    @pytest.mark.parametrize(
        ("token", "raw", "price"),
        [
            (make.INFY, 157_370, 1573.70),
            (make.EURINR, 878_950_000, 87.895),
            (make.BCD_TOKEN, 878_950, 87.895),
            (make.MCX_TOKEN, 7_251_300, 72513.0),
            (make.NIFTY_50, 912_685, 9126.85),
            (make.ALUMINI, 3_782_000, 378.20),
            ((77 << 8) | 200, 12_345, 123.45),  # an unknown segment is divided by 100
        ],
    )
    def test_divisor_by_segment(self, decoder: Decoder, token: int, raw: int, price: float) -> None:
        bodies = (make.ltp(token, raw), make.full(token, last=raw, bids=[(1, raw, 1)] * 5))
        ltp, full = decoder.decode(make.frame(*bodies))
        assert ltp["last_price"] == full["last_price"] == price
        assert full["bid_price"].tolist() == [price] * 5

    @pytest.mark.parametrize("raw", [-1, -100, -(2**31), 2**31 - 1])
    def test_prices_are_signed(self, decoder: Decoder, raw: int) -> None:
        body = make.full(last=raw, average=raw, close=raw, bids=[(1, raw, 1)] * 5)
        (tick,) = decoder.decode(make.frame(body))
        assert tick["last_price"] == tick["average_traded_price"] == tick["close"] == raw / 100
        assert tick["bid_price"].tolist() == [raw / 100] * 5

    def test_quantities_and_tokens_are_unsigned(self, decoder: Decoder) -> None:
        top = 2**32 - 1
        levels = [(top, 1, 65_535)] * 5
        body = make.full(top - 2, quantity=top, volume=top, buy=top, sell=top, oi=top,
                         oi_high=top, oi_low=top, bids=levels, asks=levels)  # fmt: skip
        (tick,) = decoder.decode(make.frame(body))
        assert tick["instrument_token"] == top - 2
        for name in ("last_traded_quantity", "volume_traded", "total_buy_quantity",
                     "total_sell_quantity", "oi", "oi_day_high", "oi_day_low"):  # fmt: skip
            assert tick[name] == top
        assert tick["bid_quantity"].tolist() == tick["ask_quantity"].tolist() == [top] * 5
        assert tick["bid_orders"].tolist() == tick["ask_orders"].tolist() == [65_535] * 5

    def test_times_are_utc_and_zero_is_none(self, decoder: Decoder) -> None:
        never, latest = decoder.decode(
            make.frame(make.full(trade_time=0, time=0), make.full(trade_time=1, time=2**32 - 1))
        )
        assert (never["last_trade_ts_ns"], never["exchange_ts_ns"]) == (0, 0)
        assert (latest["last_trade_ts_ns"], latest["exchange_ts_ns"]) == (NS, (2**32 - 1) * NS)

    def test_stamps_are_copied_into_every_record(self, decoder: Decoder) -> None:
        stamps = {"receive_ts_ns": 5, "receive_mono_ns": 6, "source_sequence": 2**63,
                  "connection": 7, "connection_epoch": 8}  # fmt: skip
        ticks = decoder.decode(
            make.frame(make.ltp(), make.full()), first_sequence=2**32 - 1, **stamps
        )
        for name, value in stamps.items():
            assert ticks[name].tolist() == [value, value], name
        assert ticks["sequence"].tolist() == [2**32 - 1, 2**32]
        assert ticks["packet_index"].tolist() == [0, 1]
        assert ticks["broker"].tolist() == [Broker.KITE, Broker.KITE]


class TestFaults:
    @pytest.mark.parametrize("frame", [b"", b"\x00", b"\x01", b"\xff"])
    def test_heartbeat_has_no_ticks(self, decoder: Decoder, frame: bytes) -> None:
        assert decoder.outcome(frame) == ("heartbeat", {})
        assert len(decoder.decode(frame)) == 0

    def test_no_packets_is_a_whole_frame(self, decoder: Decoder) -> None:
        assert decoder.outcome(make.frame()) == ("done", {})
        assert decoder.decode(make.frame()).dtype == tick_dtype

    @pytest.mark.parametrize("count", [3, 65_535])
    def test_count_above_the_packets_keeps_the_whole_ones(
        self, decoder: Decoder, count: int
    ) -> None:
        frame = make.frame(make.ltp(last=1), make.quote(), count=count)
        assert decoder.outcome(frame).end == "short"
        assert decoder.decode(frame)["mode"].tolist() == [Mode.LTP, Mode.QUOTE]

    @pytest.mark.parametrize("count", [0, 1])
    def test_count_below_the_packets_leaves_trailing_bytes(
        self, decoder: Decoder, count: int
    ) -> None:
        frame = make.frame(make.ltp(), make.quote(), count=count)
        assert decoder.outcome(frame).end == "trailing"
        assert len(decoder.decode(frame)) == count

    def test_trailing_bytes_after_the_last_packet(self, decoder: Decoder) -> None:
        frame = make.frame(make.quote(), tail=b"\x00")
        assert decoder.outcome(frame).end == "trailing"
        assert len(decoder.decode(frame)) == 1

    def test_cut_at_every_byte_keeps_the_whole_packets(self, decoder: Decoder) -> None:
        bodies = (make.ltp(), make.full(), make.index())
        whole = make.frame(*bodies)
        ends = np.cumsum([2 + len(body) for body in bodies]) + 2
        for size in range(2, len(whole)):
            expected = int(np.count_nonzero(ends <= size))
            assert len(decoder.decode(whole[:size])) == expected
            assert decoder.outcome(whole[:size]).end == "short"

    def test_length_past_the_frame_stops_there(self, decoder: Decoder) -> None:
        frame = make.frame(make.ltp(), count=2, tail=struct.pack(">H", 184) + bytes(183))
        assert decoder.outcome(frame) == ("short", {"packets_in": 1, "ticks_out": 1})

    @pytest.mark.parametrize(
        "size", [0, 1, 3, 4, 7, 9, 12, 27, 29, 43, 45, 164, 183, 185, 492, 9_000]
    )
    def test_unknown_size_is_skipped_by_its_length(self, decoder: Decoder, size: int) -> None:
        frame = make.frame(make.ltp(last=1), bytes(size), make.ltp(last=2))
        assert decoder.outcome(frame) == (
            "done", {"packets_in": 3, "packets_unknown_size": 1, "ticks_out": 2}
        )  # fmt: skip
        ticks = decoder.decode(frame)
        assert ticks["last_price"].tolist() == [0.01, 0.02]
        assert ticks["packet_index"].tolist() == [0, 2]
        assert ticks["sequence"].tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("body", "tradable", "index_layout"),
        [
            (make.index(make.INFY), True, True),
            (make.index(make.INFY, time=make.EXCHANGE_TIME), True, True),
            (make.quote(make.NIFTY_50), False, False),
            (make.full(make.NIFTY_50), False, False),
        ],
        ids=["28", "32", "44", "184"],
    )
    def test_size_of_another_segment_is_decoded_by_size(
        self, decoder: Decoder, body: bytes, tradable: bool, index_layout: bool
    ) -> None:
        frame = make.frame(body)
        (tick,) = decoder.decode(frame)
        assert bool(tick["flags"] & TickFlag.TRADABLE) is tradable
        assert bool(tick["flags"] & TickFlag.INDEX_LAYOUT) is index_layout
        assert decoder.outcome(frame).counts["packets_segment_mismatch"] == 1

    def test_ltp_of_an_index_is_no_mismatch(self, decoder: Decoder) -> None:
        frame = make.frame(make.ltp(make.NIFTY_50))
        assert decoder.outcome(frame) == ("done", {"packets_in": 1, "ticks_out": 1})

    @pytest.mark.parametrize("segment", [0, 10, 11, 13, 31, 32, 33, 44, 255])
    def test_unknown_segment_is_delivered_and_counted(self, decoder: Decoder, segment: int) -> None:
        outcome = decoder.outcome(make.frame(make.ltp(5 << 8 | segment)))
        assert outcome.counts == {"packets_in": 1, "ticks_out": 1, "packets_unknown_segment": 1}

    def test_one_token_twice_in_a_frame_gives_both_in_order(self, decoder: Decoder) -> None:
        ticks = decoder.decode(make.frame(make.ltp(last=1), make.ltp(last=2)))
        assert ticks["last_price"].tolist() == [0.01, 0.02]

    def test_more_packets_than_a_unit(self, decoder: Decoder) -> None:
        frame = make.frame(*(make.ltp(last=i) for i in range(1, 1001)))
        ticks = decoder.decode(frame)
        assert ticks["last_price"].tolist() == [i / 100 for i in range(1, 1001)]
        assert ticks["sequence"].tolist() == list(range(1000))
        assert decoder.outcome(frame).counts == {"packets_in": 1000, "ticks_out": 1000}


def _full(**fields: Any) -> bytes:
    return make.full(**fields)


class TestFlags:
    """Each flag from one changed field of an otherwise clean full packet."""

    def _flags(
        self, decoder: Decoder, body: bytes, receive_ts_ns: int = make.RECEIVE_TS_NS
    ) -> TickFlag:
        (tick,) = decoder.decode(make.frame(body), receive_ts_ns=receive_ts_ns)
        return TickFlag(int(tick["flags"])) & ~TickFlag.TRADABLE

    def test_clean_packet(self, decoder: Decoder) -> None:
        assert self._flags(decoder, _full()) == TickFlag(0)

    @pytest.mark.parametrize("last", [0, -1, -(2**31)])
    def test_bad_price(self, decoder: Decoder, last: int) -> None:
        assert self._flags(decoder, _full(last=last)) == TickFlag.BAD_PRICE

    @pytest.mark.parametrize(
        "fields",
        [
            {"time": 0},
            {"trade_time": 0},
            {"time": 946_684_799},
            {"trade_time": 946_684_799},
            {"time": make.EXCHANGE_TIME + 86_402},
            {"trade_time": make.EXCHANGE_TIME + 86_402},
        ],
    )
    def test_bad_time(self, decoder: Decoder, fields: dict[str, int]) -> None:
        assert self._flags(decoder, _full(**fields)) == TickFlag.BAD_TIME

    @pytest.mark.parametrize(
        "fields",
        [
            {"trade_time": 0, "volume": 0},  # never traded
            {"time": 946_684_800, "trade_time": 946_684_800},
            {"time": make.EXCHANGE_TIME + 86_401},  # just a day ahead of the receive time
        ],
    )
    def test_possible_times(self, decoder: Decoder, fields: dict[str, int]) -> None:
        assert self._flags(decoder, _full(**fields)) == TickFlag(0)

    def test_without_receive_time_the_future_is_not_judged(self, decoder: Decoder) -> None:
        assert self._flags(decoder, _full(time=2**32 - 1), receive_ts_ns=0) == TickFlag(0)

    def test_full_index_without_time(self, decoder: Decoder) -> None:
        flags = self._flags(decoder, make.index(time=0))
        assert flags == TickFlag.BAD_TIME | TickFlag.INDEX_LAYOUT

    @pytest.mark.parametrize(
        ("bid", "ask", "crossed"),
        [
            ((1, 101, 1), (1, 100, 1), True),
            ((1, 100, 1), (1, 100, 1), False),
            ((0, 101, 0), (1, 100, 1), False),  # no bid
            ((1, 101, 1), (0, 0, 0), False),  # no ask
            ((1, 101, 1), (9, 0, 1), False),  # a market order in the pre-open book
        ],
    )
    def test_crossed(
        self, decoder: Decoder, bid: make.Level, ask: make.Level, crossed: bool
    ) -> None:
        body = _full(bids=[bid, *make.BIDS[1:]], asks=[ask, *make.ASKS[1:]])
        assert self._flags(decoder, body) == (TickFlag.CROSSED if crossed else TickFlag(0))

    @pytest.mark.parametrize(
        "fields",
        [{"low": 200, "high": 100, "open_": 150}, {"low": 1, "high": 2, "open_": 3},
         {"low": 2, "high": 3, "open_": 1}],
    )  # fmt: skip
    def test_ohlc_inconsistent(self, decoder: Decoder, fields: dict[str, int]) -> None:
        assert self._flags(decoder, _full(**fields)) == TickFlag.OHLC_INCONSISTENT
        index = self._flags(decoder, make.index(**fields))
        assert index == TickFlag.OHLC_INCONSISTENT | TickFlag.INDEX_LAYOUT

    def test_before_the_first_trade_nothing_is_inconsistent(self, decoder: Decoder) -> None:
        assert self._flags(decoder, make.quote(open_=0, high=0, low=0)) == TickFlag(0)

    def test_flagged_ticks_are_delivered_and_counted(self, decoder: Decoder) -> None:
        frame = make.frame(_full(last=0), _full(), make.index(), make.quote(low=2, high=1))
        counts = decoder.outcome(frame).counts
        assert counts == {"packets_in": 4, "ticks_out": 4, "ticks_flagged": 2}
