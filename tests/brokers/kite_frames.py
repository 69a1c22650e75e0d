"""Kite frames made from documented field values, for tests: shares no table with the decoders.

Prices are raw integers here, as on the wire. Field order and sizes: Kite Connect v3
documentation, WebSocket streaming, "Packet structure" and "Index packet structure".
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

INFY = 408065  # NSE
NIFTY_50 = 256265  # NSE index
EURINR = (2_000 << 8) | 3  # CDS
BCD_TOKEN = (2_001 << 8) | 6
MCX_TOKEN = (2_002 << 8) | 7
ALUMINI = 31132428  # NCO
SIZES = (8, 28, 32, 44, 184)
SEGMENTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12)

Level = tuple[int, int, int]  # quantity, price, orders
BIDS: tuple[Level, ...] = tuple((10 + i, 157_000 - i, 3 + i) for i in range(5))
ASKS: tuple[Level, ...] = tuple((20 + i, 157_100 + i, 8 + i) for i in range(5))
TRADE_TIME = 1_625_461_886
EXCHANGE_TIME = 1_625_461_887
RECEIVE_TS_NS = (EXCHANGE_TIME + 1) * 10**9


def frame(*bodies: bytes, count: int | None = None, tail: bytes = b"") -> bytes:
    """Wrap packet bodies; `count` and `tail` make it lie."""
    head = struct.pack(">H", len(bodies) if count is None else count)
    return head + b"".join(struct.pack(">H", len(body)) + body for body in bodies) + tail


def ltp(token: int = INFY, last: int = 157_000) -> bytes:
    return struct.pack(">Ii", token, last)


def index(
    token: int = NIFTY_50,
    *,
    last: int = 912_685,
    high: int = 916_760,
    low: int = 911_630,
    open_: int = 916_695,
    close: int = 912_720,
    change: int = -35,
    time: int | None = None,
) -> bytes:
    body = struct.pack(">I6i", token, last, high, low, open_, close, change)
    return body if time is None else body + struct.pack(">I", time)


def quote(
    token: int = INFY,
    *,
    last: int = 157_370,
    quantity: int = 7,
    average: int = 157_037,
    volume: int = 1_192_471,
    buy: int = 256_443,
    sell: int = 363_009,
    open_: int = 156_915,
    high: int = 157_500,
    low: int = 156_105,
    close: int = 156_780,
) -> bytes:
    head = struct.pack(">IiIiIII", token, last, quantity, average, volume, buy, sell)
    return head + struct.pack(">4i", open_, high, low, close)


def full(
    token: int = INFY,
    *,
    trade_time: int = TRADE_TIME,
    oi: int = 5_000,
    oi_high: int = 6_000,
    oi_low: int = 4_000,
    time: int = EXCHANGE_TIME,
    bids: Sequence[Level] = BIDS,
    asks: Sequence[Level] = ASKS,
    **quote_fields: int,
) -> bytes:
    tail = struct.pack(">5I", trade_time, oi, oi_high, oi_low, time)
    depth = b"".join(struct.pack(">IiHH", *level, 0xBEEF) for level in (*bids, *asks))
    return quote(token, **quote_fields) + tail + depth


def bits(ticks: Any) -> dict[str, bytes]:
    """Return {field: its bytes}: equal when every bit of every field is; numpy skips padding."""
    return {name: ticks[name].tobytes() for name in ticks.dtype.names}


_EDGES = (0, 1, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 100, 0xFFFFFF9C)


def random_body(
    rng: random.Random, *, size: int | None = None, segment: int | None = None
) -> bytes:
    """A valid packet of any size on any segment, with values of every magnitude and sign."""
    size = rng.choice(SIZES) if size is None else size
    segment = rng.choice(SEGMENTS) if segment is None else segment
    words = [rng.getrandbits(24) << 8 | segment]
    words += [_random_word(rng) for _ in range(size // 4 - 1)]
    return struct.pack(f">{len(words)}I", *words)


def _random_word(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(_EDGES)
    if kind < 0.5:
        return rng.randrange(1, 1 << rng.randrange(1, 31))
    return rng.getrandbits(32)
