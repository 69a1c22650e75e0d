"""Quotes and depth: types, and what packets of lower modes lack."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.core.enums import Mode
from pipeline.services.control.api.openalgo.documents import (
    depth_document,
    has_ticked,
    plain,
    quote_document,
)
from tests.services.control.api.openalgo.house import INFY, tick_of


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        (Mode.LTP, ["ltp"]),
        (Mode.QUOTE, ["open", "high", "low", "ltp", "prev_close", "volume"]),
        (Mode.FULL, ["open", "high", "low", "ltp", "ask", "bid", "prev_close", "volume", "oi"]),
    ],
)
def test_a_quote_has_what_its_packet_carries(mode: Mode, names: list[str]) -> None:
    found = quote_document(tick_of(INFY, mode=mode))
    assert list(found) == names
    for name, value in found.items():
        assert type(value) is (int if name in ("volume", "oi") else float)


def test_numbers_are_json_and_whole_where_clients_parse_integers() -> None:
    tick = tick_of(INFY, volume_traded=2**63 + 1, last_price=-0.05)
    text = json.dumps([quote_document(tick), depth_document(tick)], allow_nan=False)
    assert "9223372036854775809" in text and "-0.05" in text
    book = depth_document(tick)
    assert all(type(row["quantity"]) is int for row in book["asks"] + book["bids"])


def test_no_tick_is_told_from_one() -> None:
    assert has_ticked(tick_of(INFY)) and not has_ticked(tick_of(INFY, mode=0))


@pytest.mark.parametrize("mode", [0, *Mode])
def test_many_at_once_are_the_same_as_one_by_one(mode: int) -> None:
    ticks = np.stack([tick_of(INFY, mode=mode), tick_of(INFY, mode=mode, volume_traded=2**63 + 1)])
    texts = [json.dumps([quote_document(tick) for tick in form]) for form in (ticks, plain(ticks))]
    assert texts[0] == texts[1]
    assert [has_ticked(tick) for tick in plain(ticks)] == [bool(mode)] * 2
