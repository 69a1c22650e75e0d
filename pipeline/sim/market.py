"""Which instruments the simulated exchange lists, and where their prices begin. Floor 4.

The walk itself is compiled (`ext/sim_market.h`); this file says per segment how many wire units a
rupee has, how fine a tick is and what an ordinary price is. It is the simulator's own table:
Kite Connect v3 documentation, WebSocket streaming, and the official clients' pull requests for
NCO. Prices begin so high that the sequence in an ltp packet's low bits never looks like a jump.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ext.simulate import Market
from pipeline.core.instruments import simulated_tokens


class Segment(NamedTuple):
    """How one segment quotes; prices in rupees, the tick in wire units."""

    name: str
    units_per_rupee: int
    tick_units: int
    rupees_min: int
    rupees_max: int
    derivative: bool = False
    is_index: bool = False


SEGMENTS: Final = {
    1: Segment("NSE", 100, 5, 700, 4000),
    2: Segment("NFO", 100, 5, 700, 30_000, derivative=True),
    3: Segment("CDS", 10_000_000, 25_000, 80, 110, derivative=True),
    4: Segment("BSE", 100, 5, 700, 4000),
    5: Segment("BFO", 100, 5, 700, 30_000, derivative=True),
    6: Segment("BCD", 10_000, 25, 80, 110, derivative=True),
    7: Segment("MCX", 100, 100, 5000, 70_000, derivative=True),
    9: Segment("INDICES", 100, 5, 10_000, 80_000, is_index=True),
    12: Segment("NCO", 10_000, 500, 250, 27_000, derivative=True),
}

# Real instruments begin near real prices: INFY, TATAMOTORS, RELIANCE, NIFTY 50, NIFTY BANK, SENSEX.
_KNOWN_RUPEES: Final = {
    408065: 1573,
    884737: 925,
    738561: 2440,
    256265: 24_600,
    260105: 52_300,
    265: 80_900,
}


def instrument_tokens(count: int, seed: int = 1) -> list[int]:
    """Return the first `count` instrument tokens; a longer list begins with the shorter one.

    Which instruments exist does not depend on the seed; how they move does.
    """
    del seed
    return list(simulated_tokens(0, count))


class Listing:
    """The listed instruments: their compiled state, and where each token lies in it."""

    def __init__(self, count: int, *, seed: int, now_s: int) -> None:
        self.tokens = np.array(instrument_tokens(count, seed), np.uint32)
        self.positions = {int(token): position for position, token in enumerate(self.tokens)}
        random = np.random.default_rng([seed, 0x5EED])
        segments = [SEGMENTS[int(token) & 0xFF] for token in self.tokens]
        self.market = Market(
            self.tokens,
            np.array(
                [
                    _opening_units(int(token), segment, float(share))
                    for token, segment, share in zip(
                        self.tokens, segments, random.random(count), strict=True
                    )
                ],
                np.uint32,
            ),
            np.array([segment.tick_units for segment in segments], np.uint32),
            np.array([segment.is_index for segment in segments], np.uint8),
            np.array([segment.derivative for segment in segments], np.uint8),
            seed=seed,
            now_s=now_s,
        )

    def shift(self, token: int, rupees: float) -> bool:
        """Move an instrument's price; False for one that is not listed or a price out of range."""
        position = self.position(token)
        if position is None:
            return False
        segment = SEGMENTS[token & 0xFF]
        ticks = round(rupees * segment.units_per_rupee / segment.tick_units)
        try:
            self.market.shift(position, ticks * segment.tick_units)
        except ValueError:
            return False
        return True

    def position(self, token: object) -> int | None:
        """Return where an instrument lies; None for what is unknown or no JSON number."""
        if isinstance(token, bool) or not isinstance(token, int):
            return None
        return self.positions.get(token)


def _opening_units(token: int, segment: Segment, share: float) -> int:
    spread = segment.rupees_max - segment.rupees_min
    rupees = _KNOWN_RUPEES.get(token, segment.rupees_min + share * spread)
    ticks = int(rupees * segment.units_per_rupee) // segment.tick_units
    return ticks * segment.tick_units
