"""Views of packets say what the decoder says, and lie in the frame itself."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.brokers.kite import wire
from pipeline.brokers.kite.views import PACKETS, packet_views
from tests.brokers import kite_frames as make

SAME = ("last_price", "average_traded_price", "open", "high", "low", "close")
EQUAL = ("last_traded_quantity", "volume_traded", "total_buy_quantity", "total_sell_quantity",
         "oi", "oi_day_high", "oi_day_low")  # fmt: skip


def test_sizes_are_those_of_the_packets() -> None:
    assert {size: kind.itemsize for size, kind in PACKETS.items()} == {
        size: size for size in wire.PACKET_SIZES
    }


def _is_told(view: Any, tick: Any) -> None:
    """Compare what a packet says with its tick, field by field."""
    token = int(view["instrument_token"])
    assert token == tick["instrument_token"]
    names = view.dtype.names
    for name in SAME:
        if name in names:
            assert int(view[name]) / wire.divisor_of(token) == tick[name]
    for name in EQUAL:
        if name in names:
            assert int(view[name]) == tick[name]
    if "exchange_timestamp" in names:
        assert int(view["exchange_timestamp"]) * 10**9 == tick["exchange_ts_ns"]
    if "buy" in names:
        assert int(view["last_trade_time"]) * 10**9 == tick["last_trade_ts_ns"]
        for side, ours in (("buy", "bid"), ("sell", "ask")):
            assert view[side]["quantity"].tolist() == tick[f"{ours}_quantity"].tolist()
            assert view[side]["orders"].tolist() == tick[f"{ours}_orders"].tolist()
            prices = [price / wire.divisor_of(token) for price in view[side]["price"].tolist()]
            assert prices == tick[f"{ours}_price"].tolist()


def test_they_say_what_the_decoder_says(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(200):
        bodies = [make.random_body(dice) for _ in range(dice.randrange(12))]
        frame = make.frame(*bodies)
        views = [view for array in pipeline.packet_views("kite", frame) for view in array]
        ticks = pipeline.decode_frame("kite", frame)
        assert len(views) == len(ticks) == len(bodies)
        for view, tick in zip(views, ticks, strict=True):
            _is_told(view, tick)


def test_they_lie_in_the_frame() -> None:
    frame = make.frame(make.full(), make.full(), make.ltp(), make.full())
    full, ltp, last = packet_views(frame)
    assert (len(full), len(ltp), len(last)) == (2, 1, 1)
    assert all(np.shares_memory(one, np.frombuffer(frame, np.uint8)) for one in (full, ltp, last))
    assert not full.flags.writeable
    writable = bytearray(frame)
    (first, *_) = packet_views(writable)
    with pytest.raises(ValueError, match="read-only"):
        first["last_price"] = 1


def test_what_is_incomplete_or_unknown_is_left_out() -> None:
    assert list(packet_views(b"")) == list(packet_views(b"\x00")) == []
    whole = make.frame(make.ltp(), bytes(45), make.quote())
    assert [array.dtype.itemsize for array in packet_views(whole)] == [8, 44]
    for cut in range(len(whole)):
        found = [len(array) for array in packet_views(whole[:cut])]
        assert sum(found) == len(pipeline.decode_frame("kite", whole[:cut]))
