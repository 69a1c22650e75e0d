"""Packets of a frame where they lie: fields by name, nothing copied, decoded or divided. Floor 2.

For who reads raw frames and wants a field or two. Prices are the wire's whole numbers, and what
they are divided by is `divisor_of` of the token. Ticks come from the decoder.
Wire facts: Kite Connect v3 documentation, "WebSocket streaming", sections "Packet structure",
"Index packet structure"; names as KiteTicker has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.brokers.kite.wire import (
    COUNT,
    DEPTH_LEVELS,
    FULL_SIZE,
    INDEX_FULL_SIZE,
    INDEX_QUOTE_SIZE,
    LENGTH,
    LTP_SIZE,
    QUOTE_SIZE,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

_LTP: Final = [("instrument_token", ">u4"), ("last_price", ">i4")]
_INDEX: Final = [
    *_LTP, ("high", ">i4"), ("low", ">i4"), ("open", ">i4"), ("close", ">i4"),
    ("change_abs", ">i4"),
]  # fmt: skip
_QUOTE: Final = [
    *_LTP, ("last_traded_quantity", ">u4"), ("average_traded_price", ">i4"),
    ("volume_traded", ">u4"), ("total_buy_quantity", ">u4"), ("total_sell_quantity", ">u4"),
    ("open", ">i4"), ("high", ">i4"), ("low", ">i4"), ("close", ">i4"),
]  # fmt: skip
_LEVEL: Final = np.dtype(
    [("quantity", ">u4"), ("price", ">i4"), ("orders", ">u2"), ("padding", ">u2")]
)
_FULL: Final = [
    *_QUOTE, ("last_trade_time", ">u4"), ("oi", ">u4"), ("oi_day_high", ">u4"),
    ("oi_day_low", ">u4"), ("exchange_timestamp", ">u4"), ("buy", _LEVEL, DEPTH_LEVELS),
    ("sell", _LEVEL, DEPTH_LEVELS),
]  # fmt: skip

#: {a packet's length: its fields}; times are seconds since 1970.
PACKETS: Final[dict[int, np.dtype[Any]]] = {
    LTP_SIZE: np.dtype(_LTP),
    INDEX_QUOTE_SIZE: np.dtype(_INDEX),
    INDEX_FULL_SIZE: np.dtype([*_INDEX, ("exchange_timestamp", ">u4")]),
    QUOTE_SIZE: np.dtype(_QUOTE),
    FULL_SIZE: np.dtype(_FULL),
}


def packet_views(frame: Buffer) -> Iterator[NDArray[Any]]:
    """Yield read-only arrays over the frame, one for each run of packets of one size, in order.

    Complete packets of known sizes are in them; a heartbeat has none, others are left out. An
    array keeps the frame's memory alive.
    """
    data = memoryview(frame).toreadonly().cast("B")
    for size, run in groupby(_places(data), key=lambda place: place[1]):
        if size in PACKETS:
            starts = [start for start, _ in run]
            stride = LENGTH.size + size
            yield np.ndarray((len(starts),), PACKETS[size], data, starts[0], (stride,))


def _places(data: memoryview) -> Iterator[tuple[int, int]]:
    """Yield (start, length) of the complete packets of a frame."""
    if len(data) < COUNT.size:
        return
    (count,) = COUNT.unpack_from(data)
    start = COUNT.size + LENGTH.size
    for _ in range(count):
        if start > len(data):
            return
        (size,) = LENGTH.unpack_from(data, start - LENGTH.size)
        if start + size > len(data):
            return
        yield start, size
        start += size + LENGTH.size
