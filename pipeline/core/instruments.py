"""Which instruments the simulated exchange lists, by position. Floor 1.

A config can say `simulated = {first = 0, count = 3000}` instead of naming thousands of tokens, so
the exchange and everybody who subscribes need one list. A Kite instrument token is
`exchange_token << 8 | segment` (Kite Connect v3 documentation, WebSocket streaming).
"""

from __future__ import annotations

from typing import Final

SEGMENT_NSE: Final = 1
SEGMENT_NFO: Final = 2
SEGMENT_CDS: Final = 3
SEGMENT_BSE: Final = 4
SEGMENT_BFO: Final = 5
SEGMENT_BCD: Final = 6
SEGMENT_MCX: Final = 7
SEGMENT_INDICES: Final = 9
SEGMENT_NCO: Final = 12

#: Real instruments come first: INFY, TATAMOTORS, RELIANCE, NIFTY 50, NIFTY BANK, SENSEX.
KNOWN_TOKENS: Final = (408065, 884737, 738561, 256265, 260105, 265)

# Then made-up ones, in a repeating mix of segments that has every divisor and the index layout.
_SEGMENT_CYCLE: Final = (
    *(SEGMENT_NSE, SEGMENT_NFO, SEGMENT_NSE, SEGMENT_BSE, SEGMENT_NFO, SEGMENT_NSE),
    *(SEGMENT_CDS, SEGMENT_NSE, SEGMENT_NFO, SEGMENT_MCX, SEGMENT_NSE, SEGMENT_BCD),
    *(SEGMENT_BFO, SEGMENT_NSE, SEGMENT_NCO, SEGMENT_INDICES),
)
_EXCHANGE_TOKEN_BASE: Final = 100_000

#: Beyond this the tokens would no longer fit 31 bits, which some clients read as signed.
SIMULATED_INSTRUMENTS_MAX: Final = 8_000_000


def simulated_token(index: int) -> int:
    """Return the instrument token at a position of the simulated exchange's list."""
    if not 0 <= index < SIMULATED_INSTRUMENTS_MAX:
        raise ValueError(f"instrument {index}: expected 0 to {SIMULATED_INSTRUMENTS_MAX - 1}")
    if index < len(KNOWN_TOKENS):
        return KNOWN_TOKENS[index]
    segment = _SEGMENT_CYCLE[index % len(_SEGMENT_CYCLE)]
    return (_EXCHANGE_TOKEN_BASE + index) << 8 | segment


def simulated_tokens(first: int, count: int) -> tuple[int, ...]:
    """Return `count` tokens from position `first` on, all different."""
    return tuple(simulated_token(index) for index in range(first, first + count))
