"""The strategy process of a whole-pipeline benchmark: counts, and keeps what proves the count.

It attaches by name like any user's. Of each tick it holds the volume, in which the exchange counts
each instrument's packets, against the instrument's last: a hole is a fault. When the instance ends
it writes what it saw to FOLDER/strategy.json, and when to FOLDER/notes.npz (`Notes` in window.py).

    python -m benchmarks.strategy INSTANCE SHM_DIRECTORY FOLDER --instruments N --buffer-ticks N \
        --spin-us N --nap-us N

With `--notes N` it also keeps when each frame's first and last tick came, of frames of N packets.
"""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import Any, Final

import numpy as np

from ext.bench import Succession
from pipeline.core.clock import monotonic_ns
from pipeline.core.errors import InstanceEnded
from pipeline.strategy.market import attach

NAME: Final = "bench"
NOTE_EVERY_NS: Final = 20_000_000

Array = np.ndarray[Any, Any]


class Log:
    """How many ticks were delivered and when, and whether each instrument's follow one another."""

    def __init__(self, instruments: int, per_frame: int = 0) -> None:
        self.succession = Succession(instruments)
        self.delivered = 0
        self.progress: list[tuple[int, int]] = []
        self.told: list[str] = []
        self.first: list[Array] = []
        self.last: list[Array] = []
        self.batches: list[tuple[int, int]] = []
        self._per_frame = per_frame
        self._next_note_ns = 0

    def take(self, ticks: Array) -> None:
        """Note one batch."""
        now = monotonic_ns()
        if not len(ticks):
            return
        self.succession.take(ticks)
        self.delivered += len(ticks)
        if self._per_frame:
            self._note_frames(ticks, now)
        if now >= self._next_note_ns:
            self._next_note_ns = now + NOTE_EVERY_NS
            self.progress.append((now, self.delivered))

    def _note_frames(self, ticks: Array, now: int) -> None:
        for kept, index in ((self.first, 0), (self.last, self._per_frame - 1)):
            received = ticks["receive_mono_ns"][ticks["packet_index"] == index]
            kept.append(np.column_stack((np.full(len(received), now), now - received)))
        self.batches.append((now, int(ticks["receive_mono_ns"].max())))

    def notes(self) -> dict[str, Array]:
        """Return the fields of `Notes`."""
        empty = np.zeros((0, 2), np.int64)
        return {
            "progress": np.array(self.progress, np.float64).reshape(-1, 2),
            "first": np.concatenate([empty, *self.first]),
            "last": np.concatenate([empty, *self.last]),
            "batches": np.array(self.batches, np.int64).reshape(-1, 2),
        }

    def note_event(self, event: object) -> None:
        """Keep what was announced between the ticks."""
        self.told.append(repr(event))


def main() -> None:
    """Read until the instance ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="benchmarks.strategy")
    parser.add_argument("instance")
    parser.add_argument("shm_directory", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--instruments", type=int, required=True)
    parser.add_argument("--buffer-ticks", type=int, required=True)
    parser.add_argument("--spin-us", type=int, required=True)
    parser.add_argument("--nap-us", type=int, required=True)
    parser.add_argument("--notes", type=int, default=0)
    options = parser.parse_args()
    log = Log(options.instruments, options.notes)
    (options.folder / "waiting").touch()
    market = attach(
        options.instance, name=NAME, from_="oldest", buffer_ticks=options.buffer_ticks,
        spin_us=options.spin_us, nap_us=options.nap_us, wait_s=60.0,
        shm_directory=options.shm_directory,
    )  # fmt: skip
    with market:
        try:
            for ticks in market.batches(timeout_s=0.5, on_event=log.note_event):
                log.take(ticks)
        except InstanceEnded:
            pass  # the orderly end
        lost = market.lost
    found = {
        "delivered": log.delivered, "lost": lost, "faults": log.succession.faults,
        "told": log.told,
    }  # fmt: skip
    np.savez(options.folder / "notes.npz", **log.notes())  # type: ignore[arg-type]
    (options.folder / "strategy.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
