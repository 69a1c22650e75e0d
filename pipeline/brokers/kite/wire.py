"""Kite's binary frames: the constants, and a decoder to read rather than to run fast. Floor 2.

The compiled decoder (`ext/decode_kite.h`) gives the same records; one test class runs on both.
Wire facts: Kite Connect v3 documentation, "WebSocket streaming", sections "Message structure",
"Packet structure", "Index packet structure"; divisors as kiteconnect 5.2.2 applies them.

    frame   count u16, then per packet: length u16, body          (big-endian throughout)
    body    the length alone says which packet it is; prices are signed, the rest is not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from enum import Enum
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.brokers.kite.symbols import EXCHANGES, is_index, segment_of
from pipeline.brokers.tick_flags import Carries, TickBase, base_of, tick_flags
from pipeline.core.enums import Broker, Mode, TickFlag
from pipeline.core.layout import tick_dtype

if TYPE_CHECKING:
    from typing_extensions import Buffer

COUNT: Final = Struct(">H")
LENGTH: Final = Struct(">H")

LTP_SIZE: Final = 8
INDEX_QUOTE_SIZE: Final = 28
INDEX_FULL_SIZE: Final = 32
QUOTE_SIZE: Final = 44
FULL_SIZE: Final = 184
PACKET_SIZES: Final = frozenset(
    (LTP_SIZE, INDEX_QUOTE_SIZE, INDEX_FULL_SIZE, QUOTE_SIZE, FULL_SIZE)
)
INDEX_SIZES: Final = frozenset((INDEX_QUOTE_SIZE, INDEX_FULL_SIZE))

TOKEN: Final = Struct(">I")
TIME: Final = Struct(">I")  # epoch seconds, UTC
LTP: Final = Struct(">Ii")  # token, last price
INDEX: Final = Struct(">Iiiiiii")  # token, last, high, low, open, close, absolute change
QUOTE: Final = Struct(">IiIiIIIiiii")  # token, last, quantity, average, volume, buy, sell, OHLC
FULL_TAIL: Final = Struct(">IIIII")  # trade time, oi, oi day high, oi day low, exchange time
LEVEL: Final = Struct(">IiHxx")  # quantity, price, orders; five bids, then five asks

INDEX_TIME_OFFSET: Final = 28
FULL_TAIL_OFFSET: Final = 44
DEPTH_OFFSET: Final = 64
DEPTH_LEVELS: Final = 5

DEFAULT_DIVISOR: Final = 100.0
DIVISORS: Final = {3: 10_000_000.0, 6: 10_000.0, 12: 10_000.0}  # CDS, BCD, NCO
NS_PER_S: Final = 10**9


class FrameEnd(Enum):
    """How a frame ended."""

    DONE = "done"
    HEARTBEAT = "heartbeat"  # 0 or 1 byte: no packets by design
    SHORT = "short"  # ended before its count or a length said so
    TRAILING = "trailing"  # bytes behind the last packet


class SplitFrame(NamedTuple):
    """The complete packets of a frame, of any size, and how it ended."""

    bodies: list[bytes]
    end: FrameEnd


def split_frame(frame: Buffer) -> SplitFrame:
    """Cut a frame into packet bodies; stop at the first that is not complete."""
    data = bytes(frame)
    if len(data) < COUNT.size:
        return SplitFrame([], FrameEnd.HEARTBEAT)
    (count,) = COUNT.unpack_from(data)
    bodies: list[bytes] = []
    offset = COUNT.size
    for _ in range(count):
        start = offset + LENGTH.size
        if start > len(data):
            return SplitFrame(bodies, FrameEnd.SHORT)
        (size,) = LENGTH.unpack_from(data, offset)
        if start + size > len(data):
            return SplitFrame(bodies, FrameEnd.SHORT)
        bodies.append(data[start : start + size])
        offset = start + size
    return SplitFrame(bodies, FrameEnd.TRAILING if offset < len(data) else FrameEnd.DONE)


def decode_frame(
    frame: Buffer,
    *,
    receive_ts_ns: int = 0,
    receive_mono_ns: int = 0,
    source_sequence: int = 0,
    connection: int = 0,
    connection_epoch: int = 0,
    first_sequence: int = 0,
    bases: MutableMapping[int, TickBase] | None = None,
) -> NDArray[Any]:
    """Decode one frame into a new (n,) tick_dtype array, as `ext.decode.decode_frame_kite` does.

    bases: {token: previous tick}, brought up to date; without it no tick is compared with an
    earlier one.
    """
    stamp = {
        "receive_ts_ns": receive_ts_ns,
        "receive_mono_ns": receive_mono_ns,
        "source_sequence": source_sequence,
        "connection": connection,
        "connection_epoch": connection_epoch,
    }
    rows: list[dict[str, Any]] = []
    for index, body in enumerate(split_frame(frame).bodies):
        if len(body) in PACKET_SIZES:
            sequence = first_sequence + len(rows)
            rows.append(_decode_packet(body, stamp, bases))
            rows[-1] |= {"sequence": sequence, "packet_index": index, "broker": Broker.KITE}
    return _to_array(rows)


def divisor_of(instrument_token: int) -> float:
    """Return what the instrument's integer prices are divided by."""
    return DIVISORS.get(segment_of(instrument_token), DEFAULT_DIVISOR)


def is_known_segment(instrument_token: int) -> bool:
    """Say whether the token's segment is documented; others are divided by 100."""
    return segment_of(instrument_token) in EXCHANGES


def is_segment_mismatch(body: bytes) -> bool:
    """Say whether an index packet names another segment, or the reverse; it is decoded by size."""
    (token,) = TOKEN.unpack_from(body)
    return len(body) != LTP_SIZE and (len(body) in INDEX_SIZES) != is_index(token)


def _decode_packet(
    body: bytes, stamp: Mapping[str, int], bases: MutableMapping[int, TickBase] | None
) -> dict[str, Any]:
    (token,) = TOKEN.unpack_from(body)
    tick: dict[str, Any] = {**stamp, "instrument_token": token}
    tick["flags"] = TickFlag(0) if is_index(token) else TickFlag.TRADABLE
    carries = _READERS[len(body)](tick, body, divisor_of(token))
    base = bases.get(token) if bases is not None else None
    tick["flags"] |= tick_flags(tick, base, carries)
    if base is not None and base.connection != tick["connection"]:
        tick["flags"] |= TickFlag.HANDOVER
    if bases is not None:
        bases[token] = base_of(tick)
    return tick


def _read_ltp(tick: dict[str, Any], body: bytes, divisor: float) -> Carries:
    _, last = LTP.unpack(body)
    tick |= {"mode": Mode.LTP, "last_price": last / divisor}
    return Carries.NOTHING


def _read_index(tick: dict[str, Any], body: bytes, divisor: float) -> Carries:
    # The change on the wire is absolute and equals last - close; KiteTicker gives percent.
    _, last, high, low, open_, close, _ = INDEX.unpack_from(body)
    _set_prices(tick, divisor, last_price=last, open=open_, high=high, low=low, close=close)
    tick |= {"mode": Mode.QUOTE, "change": _change(tick["last_price"], tick["close"])}
    tick["flags"] |= TickFlag.INDEX_LAYOUT
    return Carries.OHLC


def _read_index_full(tick: dict[str, Any], body: bytes, divisor: float) -> Carries:
    carries = _read_index(tick, body, divisor)
    (exchange_time,) = TIME.unpack_from(body, INDEX_TIME_OFFSET)
    tick |= {"mode": Mode.FULL, "exchange_ts_ns": exchange_time * NS_PER_S}
    return carries | Carries.EXCHANGE_TIME


def _read_quote(tick: dict[str, Any], body: bytes, divisor: float) -> Carries:
    _, last, quantity, average, volume, buy, sell, open_, high, low, close = QUOTE.unpack_from(body)
    _set_prices(tick, divisor, last_price=last, open=open_, high=high, low=low, close=close)
    _set_prices(tick, divisor, average_traded_price=average)
    tick |= {"mode": Mode.QUOTE, "change": _change(tick["last_price"], tick["close"])}
    tick |= {"last_traded_quantity": quantity, "volume_traded": volume}
    tick |= {"total_buy_quantity": buy, "total_sell_quantity": sell}
    return Carries.OHLC | Carries.VOLUME


def _read_full(tick: dict[str, Any], body: bytes, divisor: float) -> Carries:
    carries = _read_quote(tick, body, divisor)
    trade_time, oi, oi_high, oi_low, exchange_time = FULL_TAIL.unpack_from(body, FULL_TAIL_OFFSET)
    tick |= {"mode": Mode.FULL, "oi": oi, "oi_day_high": oi_high, "oi_day_low": oi_low}
    tick |= {"last_trade_ts_ns": trade_time * NS_PER_S, "exchange_ts_ns": exchange_time * NS_PER_S}
    levels = list(LEVEL.iter_unpack(body[DEPTH_OFFSET:]))
    for side, levels_of_side in (("bid", levels[:DEPTH_LEVELS]), ("ask", levels[DEPTH_LEVELS:])):
        quantities, prices, orders = zip(*levels_of_side, strict=True)
        tick[f"{side}_quantity"] = quantities
        tick[f"{side}_price"] = [price / divisor for price in prices]
        tick[f"{side}_orders"] = orders
    return carries | Carries.EXCHANGE_TIME | Carries.TRADE_TIME | Carries.DEPTH


_READERS: Final[dict[int, Callable[[dict[str, Any], bytes, float], Carries]]] = {
    LTP_SIZE: _read_ltp,
    INDEX_QUOTE_SIZE: _read_index,
    INDEX_FULL_SIZE: _read_index_full,
    QUOTE_SIZE: _read_quote,
    FULL_SIZE: _read_full,
}


def _set_prices(tick: dict[str, Any], divisor: float, **integers: int) -> None:
    tick |= {name: integer / divisor for name, integer in integers.items()}


def _change(last_price: float, close: float) -> float:
    return (last_price - close) * 100 / close if close != 0 else 0.0


def _to_array(rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
    ticks = np.zeros(len(rows), tick_dtype)
    for index, row in enumerate(rows):
        for name, value in row.items():
            ticks[name][index] = value
    return ticks
