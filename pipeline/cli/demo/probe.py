"""The demo's strategies: processes of their own that attach by name, like any user's. Floor 6.

`fast` logs every tick and every gap that it is told of; the demo's verdict compares that log, and
no counter of the pipeline, with what the exchange says it sent. `slow` sleeps over each batch, so
that it is lapped: it must learn exactly how many ticks it lost, and nobody else may notice.

    python -m pipeline.cli.demo.probe INSTANCE NAME FOLDER [--pause SECONDS]
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from pipeline.core.errors import InstanceEnded
from pipeline.sim.received import log_rows
from pipeline.strategy.items import Gap, Overrun, Quarantine, StateChange, Ticks
from pipeline.strategy.market import attach

Array = np.ndarray[Any, Any]

ATTACH_DEADLINE_S: Final = 30.0
FAST_BUFFER_TICKS: Final = 8192
SLOW_BUFFER_TICKS: Final = 256


class Probe:
    """One strategy: counts what it was given, logs it if there is a file for it."""

    hurried = False

    def __init__(self, log: BinaryIO | None, *, pause_s: float) -> None:
        self.log = log
        self.pause_s = pause_s
        self.told: list[dict[str, Any]] = []
        self.delivered = 0
        self.lost = 0
        self.laps = 0
        self.last: dict[int, int] = {}
        self.skipped = 0

    def take(self, item: object) -> None:
        """Deal with one item of the stream."""
        if isinstance(item, Ticks):
            self._take_ticks(item.ticks)
        elif isinstance(item, Overrun) and item.stage == "reader":
            self.lost += item.lost
            self.laps += 1
            if item.connection in self.last:  # announced, so no hole: the next one comes behind it
                self.last[item.connection] += item.lost
        if isinstance(item, Gap | StateChange | Overrun | Quarantine):
            self.told.append({"kind": type(item).__name__, **_plain(item)})

    def _take_ticks(self, ticks: Array) -> None:
        self.delivered += len(ticks)
        for connection in np.unique(ticks["connection"]):
            of_one = ticks["sequence"][ticks["connection"] == connection]
            first, last = int(of_one[0]), int(of_one[-1])
            expected = self.last.get(int(connection), first - 1) + 1
            self.skipped += abs(first - expected) + abs(last - first + 1 - len(of_one))
            self.last[int(connection)] = last
        if self.log is not None:
            self.log.write(log_rows(ticks).tobytes())
        if self.pause_s and not Probe.hurried:
            time.sleep(self.pause_s)

    def summary(self) -> dict[str, Any]:
        """Return what this strategy saw, in its own words."""
        return {
            "delivered": self.delivered,
            "lost": self.lost,
            "laps": self.laps,
            "unannounced": self.skipped,
            "told": self.told,
        }


def _plain(item: object) -> dict[str, Any]:
    fields = item.__dataclass_fields__  # type: ignore[attr-defined]
    values = {name: getattr(item, name) for name in fields}
    return {k: v.name if hasattr(v, "name") else v for k, v in values.items()}


def run(instance: str, name: str, folder: Path, *, pause_s: float) -> None:
    """Attach, read until the instance ends, and write `<name>.json` (and `<name>.log`)."""
    log = None if pause_s else (folder / f"{name}.log").open("wb", buffering=1 << 20)
    probe = Probe(log, pause_s=pause_s)
    market = attach(
        instance,
        name=name,
        from_="oldest",
        buffer_ticks=SLOW_BUFFER_TICKS if pause_s else FAST_BUFFER_TICKS,
        wait_s=ATTACH_DEADLINE_S,
    )
    with market:
        try:
            for item in market.stream(timeout_s=1.0):
                probe.take(item)
        except InstanceEnded:
            pass  # the orderly end of this strategy
    if log is not None:
        log.close()
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(probe.summary()))
    partial.rename(folder / f"{name}.json")


def _hurry(*_: object) -> None:
    """The run is over: the slow strategy reads what is left without its pauses."""
    Probe.hurried = True


def main() -> None:
    """Run as a process; Ctrl-C is for whoever started it, the end of the instance ends this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _hurry)
    parser = argparse.ArgumentParser(prog="probe")
    parser.add_argument("instance")
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pause", type=float, default=0.0)
    options = parser.parse_args()
    run(options.instance, options.name, options.folder, pause_s=options.pause)


if __name__ == "__main__":
    main()
