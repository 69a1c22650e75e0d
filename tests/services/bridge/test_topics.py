"""Topics are those that OpenAlgo's proxy takes apart."""

from __future__ import annotations

import pytest

from pipeline.core.enums import Mode
from pipeline.services.bridge.topics import market_topics, orders_topic


@pytest.mark.parametrize(
    ("exchange", "symbol", "topics"),
    [
        ("NSE", "INFY", [b"NSE_INFY_LTP", b"NSE_INFY_QUOTE", b"NSE_INFY_DEPTH"]),
        (
            "NSE_INDEX",
            "NIFTY",
            [b"NSE_INDEX_NIFTY_LTP", b"NSE_INDEX_NIFTY_QUOTE", b"NSE_INDEX_NIFTY_DEPTH"],
        ),
        (
            "CRYPTO",
            "SOL_INR",
            [b"CRYPTO_SOL_INR_LTP", b"CRYPTO_SOL_INR_QUOTE", b"CRYPTO_SOL_INR_DEPTH"],
        ),
        ("NSE", "M&M-BE", [b"NSE_M&M-BE_LTP", b"NSE_M&M-BE_QUOTE", b"NSE_M&M-BE_DEPTH"]),
    ],
)
def test_market_topics(exchange: str, symbol: str, topics: list[bytes]) -> None:
    found = market_topics(exchange, symbol)
    assert [found[mode] for mode in (Mode.LTP, Mode.QUOTE, Mode.FULL)] == topics


def test_orders_topic() -> None:
    assert orders_topic("zerodha", "alice") == b"ZERODHA_alice_orders"
