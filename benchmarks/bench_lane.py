"""Frame ring to tick stream and latest table, in one process: all that a decoder does.

    [frame ring] -> lane_step: decode, commit block, latest table, tails -> [tick stream]

A regression here is CPU of the decoder process, and a longer way from socket to strategy.

Timed is the decoder's run alone; the frames were put into the ring before, and lie in the caches
as they do when a feed has just received them. Frames of 1 packet show what a unit costs, frames
of 500 what is left when that is shared out. In a market of 36,000 instruments that tick in no order
the tables are 25 MB, and what a tick touches there comes out of no near cache.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks import frames as make
from benchmarks.figures import CPU_TIME, Meter
from benchmarks.segments import Connection

pytestmark = CPU_TIME
RUN_NS = 10_000_000_000
PACKETS = 9000


@pytest.mark.parametrize("per_frame", [1, 10, 100, 500])
def test_lane(meter: Meter, tmp_path: Path, per_frame: int) -> None:
    connection = Connection(tmp_path)
    decoder = connection.decoder()
    found = make.full_frames(PACKETS // per_frame, per_frame)
    ticks = len(found) * per_frame

    def fill() -> None:
        connection.send(found)

    def run() -> None:
        assert decoder.run(RUN_NS, until_idle=True) >= len(found)

    meter.measure(
        run, units=ticks, setup=fill, case=f"{per_frame} full packets a frame",
        group="lane: frame ring to stream and latest table", unit="ns/tick",
    )  # fmt: skip
    assert not decoder.has_work


def test_lane_in_a_large_market(meter: Meter, tmp_path: Path, tiny: bool) -> None:
    instruments = 3000 if tiny else 36_000
    connection = Connection(tmp_path, instruments=instruments)
    decoder = connection.decoder()
    order = np.random.default_rng(1).permutation(make.tokens(instruments))
    packets = make.packets(make.FULL, order)
    found = [
        len(part).to_bytes(2, "big") + part.tobytes()
        for part in np.split(packets, range(100, instruments, 100))
    ]
    turn = itertools.cycle(range(0, len(found), 30))

    def fill() -> None:
        first = next(turn)
        connection.send(found[first : first + 30])

    def run() -> None:
        assert decoder.run(RUN_NS, until_idle=True) >= 30

    meter.measure(
        run, units=3000, setup=fill, case=f"100 full packets a frame, {instruments:,} instruments",
        group="lane: frame ring to stream and latest table", unit="ns/tick",
    )  # fmt: skip
    assert not decoder.has_work
