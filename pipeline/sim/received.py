"""What a strategy logs of its ticks, for `verify` to hold against the truth log. Floor 4; numpy.

Reads what a tick says, and no counter of the pipeline. The units of prices are the exchange's own
(Kite Connect v3 documentation, WebSocket streaming: paise, but for currencies and commodities).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline.core.enums import Mode, TickFlag
from pipeline.core.instruments import SEGMENT_BCD, SEGMENT_CDS, SEGMENT_NCO
from pipeline.sim.verify import received_dtype

Array = np.ndarray[Any, Any]

#: Wire units of a rupee, where they are not paise: by the last byte of the instrument token.
_DIVISORS: Final = {SEGMENT_CDS: 1e7, SEGMENT_BCD: 1e4, SEGMENT_NCO: 1e4}
_PAISE: Final = 100.0
_LOW_BITS: Final = 0xFFF


def log_rows(ticks: Array) -> Array:
    """Return what is logged of (n,) ticks: (n,) received_dtype."""
    rows = np.empty(len(ticks), received_dtype)
    for name in ("instrument_token", "mode", "connection", "receive_ts_ns"):
        rows[name] = ticks[name]
    rows["sequence"] = carried_sequence(ticks)
    return rows


def carried_sequence(ticks: Array) -> Array:
    """Return the instrument's sequence that each of (n,) ticks carries: (n,) u8.

    It is the volume; where there is none, the low 12 bits of the price as it was on the wire.
    """
    sequence: Array = ticks["volume_traded"].copy()
    bare = (ticks["mode"] == Mode.LTP) | (ticks["flags"] & TickFlag.INDEX_LAYOUT != 0)
    if bare.any():
        sequence[bare] = _wire_prices(ticks[bare]) & _LOW_BITS
    return sequence


def _wire_prices(ticks: Array) -> Array:
    divisors = np.full(256, _PAISE)
    for segment, divisor in _DIVISORS.items():
        divisors[segment] = divisor
    wire = np.rint(ticks["last_price"] * divisors[ticks["instrument_token"] & 0xFF])
    prices: Array = wire.astype(np.int64)
    return prices
