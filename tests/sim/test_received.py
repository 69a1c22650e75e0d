"""Which sequence a tick carries: in its volume, or in the price as it was on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core.enums import Mode, TickFlag
from pipeline.core.layout import tick_dtype
from pipeline.sim.received import log_rows
from pipeline.sim.verify import received_dtype


def ticks_of(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    ticks = np.zeros(len(rows), tick_dtype)
    for tick, row in zip(ticks, rows, strict=True):
        for name, value in row.items():
            tick[name] = value
    return ticks


def test_the_sequence_comes_from_the_volume_or_from_the_price_on_the_wire() -> None:
    ticks = ticks_of([
        {"instrument_token": 0x101, "mode": Mode.FULL, "volume_traded": 70_000, "last_price": 1.5},
        {"instrument_token": 0x101, "mode": Mode.LTP, "last_price": (5 * 4096 + 7) / 100},
        {"instrument_token": 0x103, "mode": Mode.LTP, "last_price": (5 * 4096 + 8) / 1e7},
        {"instrument_token": 0x10C, "mode": Mode.LTP, "last_price": (5 * 4096 + 9) / 1e4},
        {"instrument_token": 0x109, "mode": Mode.FULL, "last_price": (5 * 4096 + 10) / 100,
         "flags": TickFlag.INDEX_LAYOUT},
        {"instrument_token": 0x101, "mode": Mode.LTP, "last_price": -1 / 100},
    ])  # fmt: skip
    before = ticks.copy()
    rows = log_rows(ticks)
    assert rows.dtype == received_dtype
    assert rows["sequence"].tolist() == [70_000, 7, 8, 9, 10, 0xFFF]
    assert rows["instrument_token"].tolist() == ticks["instrument_token"].tolist()
    assert (ticks == before).all()


def test_no_ticks_are_no_rows() -> None:
    assert len(log_rows(ticks_of([]))) == 0
