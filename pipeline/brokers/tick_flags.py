"""Tier-1 plausibility flags in plain Python: the twin of `ext/tick_flags.h`. Floor 2.

Used by the reference decoders, not on the hot path. "Now" is the frame's receive time; without
one, times in the future are not judged. No clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Any, Final, NamedTuple

from pipeline.core.enums import TickFlag

YEAR_2000_TS_NS: Final = 946_684_800 * 10**9
DAY_NS: Final = 86_400 * 10**9
JUMP_RATIO: Final = 0.2


class Carries(Flag):
    """What a packet carried; a field that it lacks is zero in the record and says nothing."""

    NOTHING = 0
    OHLC = auto()
    VOLUME = auto()
    EXCHANGE_TIME = auto()
    TRADE_TIME = auto()
    DEPTH = auto()


class TickBase(NamedTuple):
    """An instrument's previous tick, as far as the next one is held against it."""

    last_price: float
    volume_traded: int
    exchange_ts_ns: int
    connection: int = 0


def base_of(tick: Mapping[str, Any]) -> TickBase:
    """Return what the next tick of the instrument is compared with."""
    return TickBase(
        last_price=tick["last_price"],
        volume_traded=tick.get("volume_traded", 0),
        exchange_ts_ns=tick.get("exchange_ts_ns", 0),
        connection=tick.get("connection", 0),
    )


def tick_flags(tick: Mapping[str, Any], base: TickBase | None, carries: Carries) -> TickFlag:
    """Return the doubting flags of a finished tick, given as {field: value}; base: or None."""
    flags = TickFlag.BAD_PRICE if tick["last_price"] <= 0 else TickFlag(0)
    if _has_bad_time(tick, carries):
        flags |= TickFlag.BAD_TIME
    if Carries.OHLC in carries and not tick["low"] <= tick["open"] <= tick["high"]:
        flags |= TickFlag.OHLC_INCONSISTENT
    if Carries.DEPTH in carries and _is_crossed(tick):
        flags |= TickFlag.CROSSED
    return flags if base is None else flags | base_flags(tick, base, carries)


def base_flags(tick: Mapping[str, Any], base: TickBase, carries: Carries) -> TickFlag:
    """Return the flags that come of comparing a tick with the instrument's previous one."""
    flags = TickFlag(0)
    moved = abs(tick["last_price"] - base.last_price)
    if base.last_price != 0 and moved > JUMP_RATIO * abs(base.last_price):
        flags |= TickFlag.JUMP
    if Carries.VOLUME in carries and tick["volume_traded"] < base.volume_traded:
        flags |= TickFlag.VOLUME_DOWN
    if Carries.EXCHANGE_TIME in carries and tick["exchange_ts_ns"] < base.exchange_ts_ns:
        flags |= TickFlag.BAD_TIME
    return flags


def _has_bad_time(tick: Mapping[str, Any], carries: Carries) -> bool:
    times = [tick["exchange_ts_ns"]] if Carries.EXCHANGE_TIME in carries else []
    # An instrument that has not traded yet has no trade time.
    if Carries.TRADE_TIME in carries and (tick["last_trade_ts_ns"] or tick["volume_traded"]):
        times.append(tick["last_trade_ts_ns"])
    now = tick["receive_ts_ns"]
    return any(ts < YEAR_2000_TS_NS or (now > 0 and ts > now + DAY_NS) for ts in times)


def _is_crossed(tick: Mapping[str, Any]) -> bool:
    # Levels at price 0 are market orders of the pre-open session, or a one-sided book.
    bid, ask = tick["bid_price"][0], tick["ask_price"][0]
    present = all((bid, ask, tick["bid_quantity"][0], tick["ask_quantity"][0]))
    return bool(present and bid > ask)
