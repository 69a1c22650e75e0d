"""Many ticks at once: what is wanted, for whom, and nothing of others' connections."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ext.encode import MarketEncoder
from pipeline.core.layout import tick_dtype
from tests.ext.market_twin import unframe

SEED = 20_260_101


def ticks_of(tokens: list[int], **fields: object) -> NDArray[Any]:
    ticks = np.zeros(len(tokens), tick_dtype)
    ticks["instrument_token"], ticks["mode"] = tokens, 3
    ticks["last_price"] = np.arange(len(tokens)) + 0.25
    for name, value in fields.items():
        ticks[name] = value
    return ticks


def named(*keys: int) -> MarketEncoder:
    encoder = MarketEncoder()
    for key in keys:
        encoder.name(key, f"S{key}", "NSE", "zerodha")
    return encoder


def seen(encoder: MarketEncoder, ticks: NDArray[Any]) -> list[tuple[Any, int, str, float]]:
    """Return target, mode, symbol and price of each frame of a batch."""
    found = []
    for target, frame in encoder.batch(ticks):
        message = json.loads(unframe(frame))
        found.append((target, message["mode"], message["symbol"], message["data"]["ltp"]))
    return found


def test_each_wanted_mode_has_a_frame_in_the_ticks_order() -> None:
    encoder = named(1, 2, 3)
    encoder.want(1, 1, "a")
    encoder.want(3, 3, "depth")
    encoder.want(3, 1, "ltp")
    ticks = ticks_of([3, 2, 1, 9, 3])
    assert seen(encoder, ticks) == [
        ("ltp", 1, "S3", 0.25), ("depth", 3, "S3", 0.25), ("a", 1, "S1", 2.25),
        ("ltp", 1, "S3", 4.25), ("depth", 3, "S3", 4.25),
    ]  # fmt: skip
    assert encoder.batch(ticks[:0]) == []


def test_frames_are_those_of_single_calls() -> None:
    encoder, ticks = named(7), ticks_of([7], mode=3, bid_price=1.5, close=3.0)
    for mode in (1, 2, 3):
        encoder.want(7, mode, mode)
    assert encoder.batch(ticks) == [(m, encoder.frame(ticks, 0, m, 7)) for m in (1, 2, 3)]
    assert encoder.batch(ticks[::-1]) == encoder.batch(ticks)


def test_a_target_is_replaced_and_let_go() -> None:
    encoder, ticks = named(7), ticks_of([7])
    first: list[int] = []
    encoder.want(7, 2, first)
    assert encoder.batch(ticks)[0][0] is first
    encoder.want(7, 2, "second")
    assert [target for target, _ in encoder.batch(ticks)] == ["second"]
    encoder.name(7, "RENAMED", "NSE", "zerodha")
    assert seen(encoder, ticks) == [("second", 2, "RENAMED", 0.25)]
    encoder.want(7, 2, None)
    encoder.want(7, 2, None)
    assert encoder.batch(ticks) == []


def test_ticks_of_other_connections_are_passed_over() -> None:
    encoder = named(7)
    encoder.want(7, 1, "t")
    ticks = ticks_of([7] * 4, connection=[0, 1, 65535, 1])
    assert len(encoder.batch(ticks)) == 4
    encoder.own([1, 65535])
    assert [price for *_, price in seen(encoder, ticks)] == [1.25, 2.25, 3.25]
    encoder.own(range(0))
    assert encoder.batch(ticks) == []
    for wrong in ([-1], [65536]):
        with pytest.raises(OverflowError):
            encoder.own(wrong)
    with pytest.raises(TypeError):
        encoder.own(["0"])  # type: ignore[list-item]
    assert encoder.batch(ticks) == []  # as before the wrong calls
    encoder.own(None)
    assert len(encoder.batch(ticks)) == 4


def test_records_without_a_mode_are_counted() -> None:
    encoder = named(7)
    encoder.want(7, 1, "t")
    assert len(encoder.batch(ticks_of([7, 7, 8], mode=[0, 255, 0]))) == 0
    assert encoder.refused == 2
    assert len(encoder.batch(ticks_of([7, 7], mode=[0, 1]))) == 1
    assert encoder.refused == 3


def test_wrong_calls_say_what_is_wrong() -> None:
    encoder = named(7)
    with pytest.raises(KeyError, match="no names for key 8"):
        encoder.want(8, 1, "t")
    with pytest.raises(ValueError, match="mode 4; expected 1"):
        encoder.want(7, 4, "t")
    with pytest.raises(ValueError, match="320 bytes"):
        encoder.batch(np.zeros(3))


def test_thousands_of_names_stay_apart() -> None:
    """The table grows several times; the keys are as those of one segment, and the extremes."""
    rng = random.Random(SEED)
    keys = [0, 2**32 - 1, *{rng.randrange(2**24) << 8 | 1 for _ in range(3000)}]
    encoder = MarketEncoder()
    wanted = set()
    for key in keys:
        encoder.name(key, f"S{key}", "NSE", "zerodha")
        if rng.random() < 0.5:
            encoder.want(key, 1, key)
            wanted.add(key)
    assert len(encoder) == len(keys) and all(key in encoder for key in keys)
    found = seen(encoder, ticks_of(keys))
    assert [target for target, *_ in found] == [key for key in keys if key in wanted]
    assert all(symbol == f"S{key}" for key, _, symbol, _ in found)
