"""A served control process with a list of symbols, API keys, and ticks that a test writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ext.cells import Word
from pipeline.core import layout
from pipeline.core.enums import Mode, Reason, SegmentKind
from pipeline.core.exit_codes import ExitCode
from pipeline.services.keys import KeyStore
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable
from tests.instruments.lists import stored
from tests.services.control.api.served import SECTION, Reply, Served
from tests.supervisor.harness import wait_for

INFY, RELIANCE, NIFTY = 408065, 738561, 256265
SLOT_BYTES = layout.dtypes["LatestSlotC"].itemsize
#: A full packet, in rupees and pieces.
FULL: dict[str, Any] = {
    "mode": Mode.FULL, "sequence": 7, "receive_ts_ns": 1_761_157_800_001_000_000,
    "last_price": 1400.55, "open": 1390.0, "high": 1410.0, "low": 1385.05, "close": 1395.0,
    "volume_traded": 123_457, "oi": 11, "last_traded_quantity": 5,
    "total_buy_quantity": 2**33, "total_sell_quantity": 9, "bid_price": [1400.5, 1400.0, 0, 0, 0],
    "ask_price": [1401.0, 1401.5, 0, 0, 0], "bid_quantity": [10, 20, 0, 0, 0],
    "ask_quantity": [30, 40, 0, 0, 0],
}  # fmt: skip


def tick_of(token: int, **fields: Any) -> np.void:
    """Return a full tick with other values of some fields."""
    tick = np.zeros(1, layout.tick_dtype)
    for name, value in {**FULL, "instrument_token": token, **fields}.items():
        tick[name] = value
    found: np.void = tick[0]
    return found


def write_latest(segment: Segment, slot: int, tick: np.void) -> None:
    """Write a slot as a decoder does."""
    cell = segment.record("LatestSlotC", slot * SLOT_BYTES)
    version = Word(segment.mapping, layout.data_offset + slot * SLOT_BYTES)
    cell["copy"][(version.load() + 1) & 1] = tick
    version.store(version.load() + 1)


class House(Served):
    """A process; this test is its supervisor, its feed and its decoder."""

    def __init__(self, folder: Path, more: str = "") -> None:
        stored(folder)
        self.keys_file = folder / "keys.sqlite"
        super().__init__(
            folder,
            more=f"{SECTION}questions_per_s = 100000\n[gateway]\nport = 8765\n"
            f'keys_file = "{self.keys_file}"\n[instruments]\nfile = "{folder / "list.sqlite"}"\n'
            + more,
        )
        self.store = KeyStore(self.keys_file)
        self.key = self.store.add("test", "a")
        self.latest = self.ground.attach(SegmentKind.LATEST, 0)

    def stream(self, tokens: dict[int, dict[str, Any]]) -> None:
        """Have these be subscribed to and tick, for as long as the process lives."""
        assert self.subscribe(tokens, client="ground", mode="full").status == 200
        self.ground.open(0)
        segment = self.ground.attach(SegmentKind.ASSIGNMENT, 0)
        table = AssignmentTable(segment)

        def slots() -> dict[int, int]:
            rows = table.read()[1]
            pairs = zip(rows["instrument_token"].tolist(), rows["slot"].tolist(), strict=True)
            return dict(pairs)

        wait_for(lambda: tokens.keys() <= slots().keys(), "the assignment to be written")
        for token, fields in tokens.items():
            write_latest(self.latest, slots()[token], tick_of(token, **fields))

    def ask(self, name: str, key: str | None = None, **body: Any) -> Reply:
        """Ask one of `/api/v1`."""
        given = {"apikey": self.key if key is None else key, **body}
        return self.post(f"/api/v1/{name}", given, token=None)

    def close(self) -> None:
        """End it, and the instance with it."""
        super().close()
        self.ground.instance.end(Reason.SHUTDOWN, ExitCode.DONE)
