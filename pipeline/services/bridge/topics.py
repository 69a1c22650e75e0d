"""What OpenAlgo's bus calls a message. Floor 4; pure.

Wire facts: two frames, the topic in UTF-8 and a JSON object. A market topic is
`EXCHANGE_SYMBOL_MODE`: whoever reads it takes the mode from the last segment, the exchange from the
first (or the first two, for the exchanges of indices), and joins what is between. An order topic
is `{BROKER}_{USER}_orders`.
"""

from __future__ import annotations

from typing import Final

#: By `pipeline.core.enums.Mode`; a tick travels once, in the mode that it came in.
MODE_WORDS: Final = ("", "LTP", "QUOTE", "DEPTH")
_ORDERS: Final = "orders"


def market_topics(exchange: str, symbol: str) -> tuple[bytes, ...]:
    """Return the topics of an instrument, by mode; there is none for mode 0."""
    return tuple(f"{exchange}_{symbol}_{word}".encode() if word else b"" for word in MODE_WORDS)


def orders_topic(broker: str, user: str) -> bytes:
    """Return the topic of a user's order updates."""
    return f"{broker.upper()}_{user}_{_ORDERS}".encode()
