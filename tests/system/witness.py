"""A strategy process that logs all it is handed: the other side of the exchange's truth log.

    python -m tests.system.witness INSTANCE NAME FOLDER SHM_DIRECTORY [PAUSE_S [OWNER]]

`NAME.ticks` gets a row per tick, `NAME.told` a JSON line per gap, overrun and state change, in the
order in which they came; `NAME.done` is made when the instance has ended. A witness that was asked
to stay away sleeps so long over each of its first batches.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

import numpy as np

import pipeline
from pipeline.core import layout
from pipeline.core.errors import InstanceEnded
from pipeline.sim.received import log_rows
from pipeline.sim.verify import received_dtype
from pipeline.strategy.items import Idle, OrderUpdate, Ticks

Array = np.ndarray[Any, Any]

#: What `verify` reads of each tick, where it came from, and a digest of its content.
row_dtype: Final = np.dtype(
    [
        *received_dtype.descr,
        ("tick_sequence", "<u8"),
        ("source_sequence", "<u8"),
        ("content", "<u8"),
        ("epoch", "<u4"),
        ("flags", "<u4"),
    ]
)

#: What says where and when a tick came, not what it holds; flags also depend on the tick before.
_PASSAGE: Final = (
    "sequence",
    "source_sequence",
    "receive_ts_ns",
    "receive_mono_ns",
    "exchange_ts_ns",
    "last_trade_ts_ns",
    "connection_epoch",
    "flags",
    "packet_index",
    "connection",
)
_WORDS: Final = layout.tick_dtype.itemsize // 8


def _content_mask() -> Array:
    mask = np.zeros(layout.tick_dtype.itemsize, np.uint8)
    for name, field in (layout.tick_dtype.fields or {}).items():
        if name not in _PASSAGE:
            mask[field[1] : field[1] + field[0].itemsize] = 0xFF
    return mask.view(np.uint64)


_MASK: Final = _content_mask()
_WEIGHTS: Final = np.random.default_rng(0).integers(1, 2**63, _WORDS, np.uint64) * 2 + 1


def content_of(ticks: Array) -> Array:
    """Return a digest of what each of (n,) ticks holds: (n,) u8; a torn one has another."""
    words = np.ascontiguousarray(ticks).view(np.uint64).reshape(len(ticks), _WORDS)
    digest: Array = ((words & _MASK) * _WEIGHTS).sum(axis=1, dtype=np.uint64)
    return digest


def rows_of(ticks: Array) -> Array:
    """Return what is logged of (n,) ticks: (n,) row_dtype."""
    rows = np.zeros(len(ticks), row_dtype)
    logged = log_rows(ticks)
    for name in received_dtype.names or ():
        rows[name] = logged[name]
    rows["tick_sequence"] = ticks["sequence"]
    rows["source_sequence"] = ticks["source_sequence"]
    rows["epoch"] = ticks["connection_epoch"]
    rows["flags"] = ticks["flags"]
    rows["content"] = content_of(ticks)
    return rows


def log_everything(market: pipeline.Market, ticks: BinaryIO, told: TextIO, pause_s: float) -> None:
    """Log until the instance has ended."""
    try:
        for item in market.stream(timeout_s=1.0):
            if isinstance(item, Ticks):
                ticks.write(rows_of(item.ticks).tobytes())
                time.sleep(pause_s)
            elif not isinstance(item, Idle | OrderUpdate):
                line = {"kind": type(item).__name__, **asdict(item)}
                told.write(json.dumps(line) + "\n")
    except InstanceEnded:
        return


def main(
    instance: str, name: str, folder: str, shm: str, pause_s: str = "0", owner: str = ""
) -> None:
    """Be a witness."""
    base = Path(folder) / name
    with (
        base.with_suffix(".ticks").open("wb", buffering=0) as ticks,
        base.with_suffix(".told").open("w", buffering=1) as told,
        pipeline.attach(
            instance,
            name=name,
            from_="oldest",
            buffer_ticks=8192,
            shm_directory=shm,
            wait_s=30.0,
            owner=owner or None,
        ) as market,
    ):
        log_everything(market, ticks, told, float(pause_s))
    base.with_suffix(".done").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
