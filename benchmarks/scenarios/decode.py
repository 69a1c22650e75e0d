"""Frames to finished tick records, in this process, beside what Python has for it.

    [bytes of a frame] -> KiteDecoder.decode_frames -> [TickC, 320 bytes, in a ring of 4,096]

A regression here is a dearer packet for every decoder: the ceiling of ticks/s of a core falls.
CPU time; all frames are distinct, 9,000 full packets in all, and made beforehand. The peers do
less: `struct` and numpy stop at integers, neither looks up a token nor sets a flag.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import frames as make
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from ext.decode import KiteDecoder
from pipeline.core.enums import Mode
from pipeline.shm.tables import assignment_rows

PACKETS = 9000
INSTRUMENTS = 3000


def loaded_decoder() -> KiteDecoder:
    """Return a decoder that knows every instrument of the frames."""
    decoder = KiteDecoder(capacity=4096, slot_count=INSTRUMENTS)
    rows = assignment_rows(make.tokens(INSTRUMENTS), np.full(INSTRUMENTS, Mode.FULL), 0)
    rows["slot"] = np.arange(INSTRUMENTS)
    decoder.assign(rows)
    return decoder


def _cost(function: Callable[[], object], packets: int, repeat: int) -> dict[str, float]:
    began_ns = time.process_time_ns()
    for _ in range(repeat):
        function()
    return {"ns": (time.process_time_ns() - began_ns) / (packets * repeat)}


def _each(function: Callable[[bytes], object], frames: list[bytes]) -> None:
    for frame in frames:
        function(frame)


def _pykiteconnect(frame: bytes, made: list[Any] = []) -> object:  # noqa: B006 - one for all calls
    if not made:
        from kiteconnect import KiteTicker

        made.append(KiteTicker("key", "token")._parse_binary)
    return made[0](frame)


_PACKET = struct.Struct(">H16I" + "IIHxx" * 10)


def _struct(frame: bytes) -> None:
    for at in range(2, len(frame), _PACKET.size):
        _PACKET.unpack_from(frame, at)


def _numpy(frame: bytes) -> object:
    return np.frombuffer(frame, make.FULL, offset=2).astype(make.FULL.newbyteorder("="))


def _run(bench: Bench, *, per_frame: int, goal: Goal) -> None:
    frames = make.full_frames(PACKETS // per_frame, per_frame)
    few = frames[: max(1, bench.pick(tiny=200, quick=1000, full=2000) // per_frame)]
    decoder = loaded_decoder()
    repeat = bench.pick(tiny=1, quick=20, full=60)
    ours = partial(decoder.decode_frames, frames)
    peer_packets = len(few) * per_frame

    def peer(function: Callable[[bytes], object]) -> Callable[[], dict[str, float]]:
        return partial(_cost, partial(_each, function, few), peer_packets, 1)

    cases = [
        Case(name=OURS, measure=partial(_cost, ours, len(frames) * per_frame, repeat)),
        Case(name="pykiteconnect", measure=peer(_pykiteconnect), package="kiteconnect"),
        Case(name="struct.unpack_from, integers", measure=peer(_struct)),
        Case(name="numpy astype, integers", measure=peer(_numpy)),
    ]
    plural = "s" if per_frame > 1 else ""
    group = f"decode, {per_frame} full packet{plural} a frame"
    if bench.has("kiteconnect", "pykiteconnect"):
        _pykiteconnect(few[0])  # its import is not what is measured
    bench.compare(
        cases, [Quantity(key="ns", group=group, unit="ns/packet, CPU", goal=goal)],
        rounds=bench.pick(tiny=2, quick=5, full=15),
    )  # fmt: skip


SCENARIOS = [
    Scenario(
        name="decode-100",
        about="frame to finished records, 100 full packets a frame",
        run=partial(
            _run, per_frame=100,
            goal=Goal(must=30, aim=16, floor=40, ahead={"pykiteconnect": 850}),
        ),
    ),
    Scenario(
        name="decode-1",
        about="frame to finished records, one full packet a frame",
        run=partial(_run, per_frame=1, goal=Goal(must=45, aim=20)),
    ),
]  # fmt: skip
