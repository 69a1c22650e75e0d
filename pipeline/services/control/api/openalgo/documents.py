"""A tick as OpenAlgo's quotes and depth have it. Floor 4; pure.

A packet of a lower mode carries less: what it lacks is left out, never 0 for it. An index has
neither book nor volume, and these are 0 in its full packet as they are at the broker.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.core.enums import Mode

#: One element of an array of the tick dtype, or the same as a dict.
Tick = Any
_OF_QUOTES: Final = (
    "mode", "open", "high", "low", "last_price", "ask_price", "bid_price", "close",
    "volume_traded", "oi",
)  # fmt: skip

LEVELS: Final = 5


def quote_document(tick: Tick) -> dict[str, float | int]:
    """Return `data` of a quote: prices are rupees, volume and open interest whole numbers."""
    found: dict[str, float | int] = {}
    mode = tick["mode"]
    if mode >= Mode.QUOTE:
        found = {name: float(tick[name]) for name in ("open", "high", "low")}
    found["ltp"] = float(tick["last_price"])
    if mode >= Mode.FULL:
        found["ask"] = float(tick["ask_price"][0])
        found["bid"] = float(tick["bid_price"][0])
    if mode >= Mode.QUOTE:
        found["prev_close"] = float(tick["close"])
        found["volume"] = int(tick["volume_traded"])
    if mode >= Mode.FULL:
        found["oi"] = int(tick["oi"])
    return found


def plain(ticks: Any) -> list[dict[str, Any]]:
    """Return an array of ticks as dicts with what a quote takes: a tenth of the time."""
    columns = (ticks[name].tolist() for name in _OF_QUOTES)
    return [dict(zip(_OF_QUOTES, row, strict=True)) for row in zip(*columns, strict=True)]


def depth_document(tick: Tick) -> dict[str, Any]:
    """Return `data` of a depth, of a full packet: five levels a side, the best first."""
    return {
        "open": float(tick["open"]),
        "high": float(tick["high"]),
        "low": float(tick["low"]),
        "ltp": float(tick["last_price"]),
        "ltq": int(tick["last_traded_quantity"]),
        "prev_close": float(tick["close"]),
        "volume": int(tick["volume_traded"]),
        "oi": int(tick["oi"]),
        "totalbuyqty": int(tick["total_buy_quantity"]),
        "totalsellqty": int(tick["total_sell_quantity"]),
        "asks": _side(tick, "ask"),
        "bids": _side(tick, "bid"),
    }


def has_ticked(tick: Tick) -> bool:
    """Whether there is a tick at all."""
    return bool(tick["mode"])


def _side(tick: Tick, side: str) -> list[dict[str, float | int]]:
    prices, quantities = tick[f"{side}_price"], tick[f"{side}_quantity"]
    return [
        {"price": float(prices[level]), "quantity": int(quantities[level])}
        for level in range(LEVELS)
    ]
