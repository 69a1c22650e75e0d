"""Distinct Kite frames, built with numpy from the documented layout, not with our own tables.

Kite Connect v3 documentation, WebSocket streaming, "Message structure" and "Quote packet
structure". All packets differ, as a live feed's do: an instrument's price wanders by a fraction of
a per cent, every quantity is drawn anew. Its volume and times stand still, because a benchmark
decodes the same frames again and again, and what goes back is in doubt; `doubtful` packets are all
so: prices jump, volumes and times go to and fro.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]

_SEGMENT_NSE: Final = 1
_SEGMENT_INDICES: Final = 9
_QUOTE: Final = [
    "token", "last_price", "last_quantity", "average_price", "volume", "buy", "sell",
    "open", "high", "low", "close",
]  # fmt: skip
_REST: Final = ["trade_time", "oi", "oi_high", "oi_low", "time"]
_INDEX: Final = ["token", "last_price", "high", "low", "open", "close", "change", "time"]
_LEVEL: Final = np.dtype([("quantity", ">u4"), ("price", ">i4"), ("orders", ">u2"), ("pad", ">u2")])


def _packet_dtype(names: list[str], levels: int = 0) -> np.dtype[Any]:
    fields: list[Any] = [("size", ">u2"), *((name, ">u4") for name in names)]
    return np.dtype(fields + [("levels", _LEVEL, (levels,))] * bool(levels))


FULL: Final = _packet_dtype(_QUOTE + _REST, 10)
QUOTE: Final = _packet_dtype(_QUOTE)
LTP: Final = _packet_dtype(_QUOTE[:2])
INDEX: Final = _packet_dtype(_INDEX)


def tokens(count: int, segment: int = _SEGMENT_NSE) -> Array:
    """Return instrument tokens of one segment, (count,) u4."""
    return (np.arange(1, count + 1, dtype=np.uint32) << 8) | segment


def _drawn(random: np.random.Generator, of: Array, low: int, high: int, doubtful: bool) -> Array:
    """Return a number for each packet: one of its own, or its instrument's."""
    _, instrument = np.unique(of, return_inverse=True)
    own = np.arange(len(of)) if doubtful else instrument
    return random.integers(low, high, len(of))[own]


def packets(dtype: np.dtype[Any], of: Array, *, seed: int = 1, doubtful: bool = False) -> Array:
    """Return one packet for each token of `of`, all different: (n,) of the packet's dtype."""
    random = np.random.default_rng(seed)
    made = np.zeros(len(of), dtype)
    names = made.dtype.names or ()
    made["size"] = dtype.itemsize - 2
    made["token"] = of
    price = _drawn(random, of, 50_000, 400_000, doubtful) + random.integers(-40, 40, len(of))
    made["last_price"] = price
    for name, offset in {
        "open": 5,
        "high": 50,
        "low": -50,
        "close": -7,
        "average_price": 1,
    }.items():
        if name in names:
            made[name] = price + offset
    for name in {"last_quantity", "buy", "sell", "oi", "oi_high", "oi_low"} & set(names):
        made[name] = random.integers(1, 1_000_000, len(of))
    if "volume" in names:
        made["volume"] = _drawn(random, of, 1, 10_000_000, doubtful)
    for name in {"time", "trade_time"} & set(names):
        made[name] = 1_700_000_000 + _drawn(random, of, 0, 20_000, doubtful)
    if "levels" in names:
        step = np.array([-1, -2, -3, -4, -5, 1, 2, 3, 4, 5])
        made["levels"]["price"] = price[:, None] + step
        made["levels"]["quantity"] = random.integers(1, 100_000, (len(of), 10))
        made["levels"]["orders"] = random.integers(1, 500, (len(of), 10))
    return made


def frames(of: Array, per_frame: int) -> list[bytes]:
    """Cut packets of one dtype into frames of `per_frame`."""
    head = per_frame.to_bytes(2, "big")
    return [
        head + of[at : at + per_frame].tobytes()
        for at in range(0, len(of) - per_frame + 1, per_frame)
    ]


def full_frames(
    count: int, per_frame: int, instruments: int = 3000, *, doubtful: bool = False
) -> list[bytes]:
    """Return `count` frames of distinct full packets that go round the instruments."""
    of = np.resize(tokens(instruments), count * per_frame)
    return frames(packets(FULL, of, doubtful=doubtful), per_frame)


def mixed_frames(count: int, instruments: int = 3000) -> list[bytes]:
    """Return frames of 25 full, 25 quote, 25 ltp and 25 index packets, in a random order."""
    random = np.random.default_rng(2)
    of = np.resize(tokens(instruments), count * 25)
    indices = np.resize(tokens(100, _SEGMENT_INDICES), count * 25)
    kinds = [packets(FULL, of), packets(QUOTE, of), packets(LTP, of), packets(INDEX, indices)]
    made = []
    for at in range(0, count * 25, 25):
        bodies = [packet.tobytes() for kind in kinds for packet in kind[at : at + 25]]
        order = random.permutation(len(bodies))
        made.append((100).to_bytes(2, "big") + b"".join(bodies[i] for i in order))
    return made
