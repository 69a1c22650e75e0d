"""How often who may ask."""

from __future__ import annotations

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import GatewayConfig
from pipeline.services.control.api.rates import ENTRIES_PER_S, KEYED_PER_S, Rates, TooMany

NOW_NS = 100 * NS_PER_S
FIRST, SECOND = "203.0.113.7", "203.0.113.8"


def entries(rates: Rates, address: str | None, count: int) -> int:
    """Return how many of so many tries to come in were let through."""
    let_in = 0
    for _ in range(count):
        try:
            rates.entry(address, NOW_NS)
        except TooMany:
            continue
        let_in += 1
    return let_in


def test_a_flood_of_one_address_is_refused_to_that_one_alone() -> None:
    rates = Rates(10.0)
    assert entries(rates, FIRST, 1000) == ENTRIES_PER_S
    assert entries(rates, SECOND, 5) == 5 and entries(rates, None, 5) == 5
    for _ in range(int(KEYED_PER_S)):
        rates.question(FIRST, NOW_NS, known=False)
    with pytest.raises(TooMany):
        rates.question(FIRST, NOW_NS, known=False)
    rates.question(SECOND, NOW_NS, known=False)
    rates.change(NOW_NS)


def test_wrong_keys_keep_an_address_out_but_nobody_who_is_known() -> None:
    rates = Rates(10.0)
    for _ in range(GatewayConfig().key_failures_ban):
        for address in (FIRST, None):
            rates.wrong_key(address, NOW_NS)
    for ask in (rates.entry, lambda a, n: rates.question(a, n, known=False)):
        with pytest.raises(TooMany, match="wrong keys") as caught:
            ask(FIRST, NOW_NS)  # type: ignore[no-untyped-call]
        assert caught.value.wait_s == GatewayConfig().ban_s
        ask(SECOND, NOW_NS)  # type: ignore[no-untyped-call]
        ask(None, NOW_NS)  # type: ignore[no-untyped-call]
    rates.question(FIRST, NOW_NS, known=True)
    rates.entry(FIRST, NOW_NS + 901 * NS_PER_S)


def test_addresses_are_the_gateways() -> None:
    rates = Rates(10.0, ["10.0.0.0/8"])
    assert rates.address("2001:db8::1", "10.0.0.1") == "2001:db8::/64"
    assert rates.address("10.0.0.1", "6.6.6.6, 1.2.3.4") == "1.2.3.4"
    assert rates.address("10.0.0.1", None) is rates.address("127.0.0.1", "1.2.3.4") is None
