"""Our dicts against KiteTicker's own parser (kiteconnect 5.2.2), bit for bit.

Random valid packets of every size on every segment, mismatched ones too. KiteTicker reads prices
unsigned and we read them signed, so a price above 2^31 is compared modulo 2^32, and the change
that follows from it by its formula. `repr` compares order of keys, types and every bit of a float.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pipeline
from ext.decode import decode_frame_kite
from tests.brokers import kite_frames as make

SEED = 20_240_611
PACKETS_PER_FRAME = 100
DIVISORS = {3: 1e7, 6: 1e4, 12: 1e4}

Parse = Callable[[bytes], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def parse() -> Iterator[Parse]:
    ticker = pytest.importorskip("kiteconnect").KiteTicker("k", "a")
    yield ticker._parse_binary


def signed_form(tick: dict[str, Any]) -> dict[str, Any]:
    """Return KiteTicker's dict with its unsigned prices read as signed."""
    divisor = DIVISORS.get(tick["instrument_token"] & 0xFF, 100.0)

    def signed(price: float) -> float:
        raw = round(price * divisor)
        return price if raw < 2**31 else (raw - 2**32) / divisor

    tick["last_price"] = signed(tick["last_price"])
    if tick["mode"] == "ltp":
        return tick
    if "average_traded_price" in tick:
        tick["average_traded_price"] = signed(tick["average_traded_price"])
    ohlc = tick["ohlc"]
    for name in ohlc:
        ohlc[name] = signed(ohlc[name])
    if ohlc["close"] != 0:
        tick["change"] = (tick["last_price"] - ohlc["close"]) * 100 / ohlc["close"]
    for side in tick.get("depth", {}).values():
        for level in side:
            level["price"] = signed(level["price"])
    return tick


def compare(parse: Parse, *, packets: int, seed: int) -> None:
    rng = random.Random(seed)
    print(f"seed {seed}, {packets} packets")
    for _ in range(packets // PACKETS_PER_FRAME):
        frame = make.frame(*(make.random_body(rng) for _ in range(PACKETS_PER_FRAME)))
        ticks = pipeline.decode_frame("kite", frame)
        assert make.bits(ticks) == make.bits(decode_frame_kite(frame, portable=True))
        ours = pipeline.to_kite_dicts(ticks)
        theirs = [signed_form(tick) for tick in parse(frame)]
        if repr(ours) != repr(theirs):
            pairs = zip(ours, theirs, strict=True)
            assert [pair for pair in pairs if repr(pair[0]) != repr(pair[1])] == []


def test_random_packets_equal_kiteticker(parse: Parse) -> None:
    compare(parse, packets=20_000, seed=SEED)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_million_random_packets_equal_kiteticker(parse: Parse) -> None:
    compare(parse, packets=1_000_000, seed=SEED + 1)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York", "Asia/Kathmandu"])
def test_times_are_host_local_as_kitetickers(
    parse: Parse, zone: str, set_zone: Callable[[str], None]
) -> None:
    set_zone(zone)
    times = (0, 1, 1_625_461_887, 2**31, 2**32 - 1, 1_730_610_000, 1_730_613_600)  # DST ends
    bodies = [make.full(trade_time=t, time=t) for t in times]
    bodies += [make.index(time=t) for t in times]
    frame = make.frame(*bodies)
    assert repr(pipeline.to_kite_dicts(pipeline.decode_frame("kite", frame))) == repr(parse(frame))


def test_positive_packets_need_no_translation(parse: Parse) -> None:
    frame = make.frame(make.ltp(), make.index(), make.index(time=1), make.quote(), make.full())
    assert repr(pipeline.to_kite_dicts(pipeline.decode_frame("kite", frame))) == repr(parse(frame))
