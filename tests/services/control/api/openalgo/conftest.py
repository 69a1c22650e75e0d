"""One process for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.core.enums import Mode
from tests.services.control.api.openalgo.house import INFY, NIFTY, RELIANCE, House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """INFY ticks in full, NIFTY too, RELIANCE says its price alone."""
    house = House(tmp_path_factory.mktemp("openalgo"))
    try:
        house.ready()
        book = {name: [0] * 5 for name in ("bid_price", "ask_price")}
        index = {"volume_traded": 0, "oi": 0, "last_price": 24010.05, **book}
        house.stream({INFY: {}, NIFTY: index, RELIANCE: {"mode": Mode.LTP, "last_price": 0.05}})
        yield house
    finally:
        house.close()
