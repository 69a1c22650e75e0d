"""Frames to finished tick records, in one process.

    [bytes of a frame] -> decode_kite -> [TickC, 320 bytes, in a ring of 4,096]

A regression here is a dearer packet for every decoder: the ceiling of ticks/s of a core falls.

All frames are distinct, 9,000 packets in all. Units, token look-up, flags and the comparison with
the previous tick are included: it is what a decoder process runs, without its ring and tables.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import frames as make
from benchmarks.figures import CPU_TIME, Meter
from ext.decode import KiteDecoder, decode_frame_kite
from pipeline.core.enums import Mode
from pipeline.shm.tables import assignment_rows

pytestmark = CPU_TIME
PACKETS = 9000

SHAPES: dict[str, tuple[int, Callable[[int], list[bytes]]]] = {
    "100 full a frame": (100, lambda count: make.full_frames(count, 100)),
    "10 full a frame": (10, lambda count: make.full_frames(count, 10)),
    "1 full a frame": (1, lambda count: make.full_frames(count, 1)),
    "500 full a frame": (500, lambda count: make.full_frames(count, 500)),
    "100 mixed a frame": (100, make.mixed_frames),
}


def _decoder(*, portable: bool) -> KiteDecoder:
    known = np.concatenate([make.tokens(3000), make.tokens(100, 9)])
    decoder = KiteDecoder(capacity=4096, slot_count=len(known), portable=portable)
    rows = assignment_rows(known, np.full(len(known), Mode.FULL), 0)
    rows["slot"] = np.arange(len(known))
    decoder.assign(rows)
    return decoder


@pytest.mark.parametrize("portable", [False, True], ids=["dispatched", "portable"])
@pytest.mark.parametrize("shape", SHAPES)
def test_decode(meter: Meter, shape: str, portable: bool) -> None:
    per_frame, build = SHAPES[shape]
    found = build(PACKETS // per_frame)
    decoder = _decoder(portable=portable)
    repeat = 10
    ticks = per_frame * len(found)
    assert decoder.decode_frames(found) == ticks

    def run() -> None:
        for _ in range(repeat):
            decoder.decode_frames(found)

    case = "portable C" if portable else "pipeline"
    meter.measure(run, units=ticks * repeat, case=case, group=f"decode, {shape}", unit="ns/packet")


@pytest.mark.parametrize("shape", SHAPES)
def test_decode_frame(meter: Meter, shape: str) -> None:
    """Called from Python for each frame, with a new array for its ticks."""
    per_frame, build = SHAPES[shape]
    found = build(PACKETS // per_frame)

    def run() -> None:
        for frame in found:
            decode_frame_kite(frame)

    meter.measure(
        run, units=per_frame * len(found), case="decode_frame, a new array a frame",
        group=f"decode, {shape}", unit="ns/packet",
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_pykiteconnect(meter: Meter, shape: str, tiny: bool) -> None:
    ticker = pytest.importorskip("kiteconnect").KiteTicker("key", "token")
    per_frame, build = SHAPES[shape]
    found = build(max(1, (500 if tiny else 2000) // per_frame))

    def run() -> None:
        for frame in found:
            ticker._parse_binary(frame)

    meter.rounds = min(meter.rounds, 7)
    meter.measure(
        run, units=per_frame * len(found), case="pykiteconnect _parse_binary (peer)",
        group=f"decode, {shape}", unit="ns/packet", is_peer=True,
    )  # fmt: skip


def test_struct(meter: Meter) -> None:
    """Integers in tuples only: no prices, no record."""
    found = make.full_frames(PACKETS // 100, 100)
    packet = struct.Struct(">H16I" + "IIHxx" * 10)

    def run() -> None:
        for frame in found:
            for at in range(2, len(frame), packet.size):
                packet.unpack_from(frame, at)

    meter.rounds = min(meter.rounds, 7)
    meter.measure(
        run, units=PACKETS, case="struct.unpack_from, tuples of integers (peer)",
        group="decode, 100 full a frame", unit="ns/packet", is_peer=True,
    )  # fmt: skip


def test_numpy(meter: Meter) -> None:
    """A big-endian view per frame, its integers converted; prices stay integers."""
    found = make.full_frames(PACKETS // 100, 100)
    native = make.FULL.newbyteorder("=")

    def run() -> None:
        for frame in found:
            np.frombuffer(frame, make.FULL, offset=2).astype(native)

    meter.rounds = min(meter.rounds, 7)
    meter.measure(
        run, units=PACKETS, case="numpy view and astype, integers (peer)",
        group="decode, 100 full a frame", unit="ns/packet", is_peer=True,
    )  # fmt: skip
