"""How many of an address are here."""

from __future__ import annotations

from pipeline.services.strangers import Headcount


def test_an_address_has_its_share_and_leaves_no_trace() -> None:
    here = Headcount(2)
    assert [here.enter("a"), here.enter("a"), here.enter("a")] == [True, True, False]
    assert here.enter("b") and all(here.enter(None) for _ in range(10))
    here.leave("a")
    assert here.enter("a") and not here.enter("a")
    for address in ("a", "a", "b", None):
        here.leave(address)
    assert len(here) == 0
