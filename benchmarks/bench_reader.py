"""Tick stream to a strategy's own buffer, in one process: what a reader pays for a tick.

    [tick stream, 320 bytes a tick] -> StreamReader.poll: copy, check -> [the strategy's buffer]

A regression here is paid by every strategy process, for every tick.

Timed is the poll alone; the ticks were decoded just before by this process. Peer: numpy's copy of
the same bytes, without any check.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import frames as make
from benchmarks.figures import CPU_TIME, Meter
from benchmarks.segments import Connection
from pipeline.core import layout

pytestmark = CPU_TIME
RUN_NS = 10_000_000_000
PACKETS = 8000


@pytest.mark.parametrize("buffer_ticks", [256, 1024, 4096, 16_384])
def test_reader(meter: Meter, tmp_path: Path, buffer_ticks: int) -> None:
    connection = Connection(tmp_path)
    decoder = connection.decoder()
    reader = connection.reader(buffer_ticks)
    found = make.full_frames(PACKETS // 100, 100)
    taken = 0

    def fill() -> None:
        connection.send(found)
        decoder.run(RUN_NS, until_idle=True)

    def run() -> None:
        nonlocal taken
        while count := reader.poll():
            taken += count

    meter.measure(
        run, units=PACKETS, setup=fill, case=f"buffer of {buffer_ticks:,} ticks",
        group="reader: tick stream to strategy", unit="ns/tick",
    )  # fmt: skip
    assert taken == PACKETS * (meter.rounds + 1)


def test_plain_copy(meter: Meter) -> None:
    source = np.zeros(16_384, layout.tick_dtype).view(np.uint8)
    target = np.zeros_like(source)
    ticks = 8000 * layout.tick_dtype.itemsize

    def run() -> None:
        target[:ticks] = source[:ticks]

    meter.measure(
        run, units=8000, case="numpy copy of as many bytes (peer)",
        group="reader: tick stream to strategy", unit="ns/tick", is_peer=True,
    )  # fmt: skip
