"""`Market.frames`: raw frames byte for byte, of one connection or all, with every loss told."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline
from ext.cells import Bell
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.enums import Broker, Reason, SegmentKind, State
from pipeline.core.errors import InstanceEnded, InstanceError
from pipeline.shm import specs
from pipeline.shm.instance import ManifestEntry
from pipeline.strategy.items import Idle, Overrun, RawFrame
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance


class Rings:
    """An instance whose connections have frame rings, with the bell of their decoder."""

    def __init__(self, instance: FakeInstance) -> None:
        self.instance = instance
        self.writers: dict[int, FrameRingWriter] = {}
        self.bell = Bell(instance.make(specs.bell(), 0).mapping, layout.data_offset)

    def add(self, number: int, decoder: int = 0) -> None:
        if number >= len(self.instance.connections):
            self.instance.add_connection(publish=False)
        spec = specs.frames(number, capacity=1024, area_bytes=1 << 16)
        self.writers[number] = FrameRingWriter(self.instance.make(spec, number).mapping)
        entry = ManifestEntry(SegmentKind.FRAMES, number, decoder, Broker.KITE)
        self.instance.entries.append(entry)
        self.instance.publish()

    def send(self, payload: bytes, number: int = 0) -> None:
        self.writers[number].append(payload, connection_epoch=3, receive_ts_ns=7, receive_mono_ns=8)
        self.bell.ring()


@pytest.fixture
def rings(make_instance: Make) -> Rings:
    made = Rings(make_instance(connections=1))
    made.add(0)
    return made


@pytest.fixture
def market(rings: Rings) -> Iterator[Market]:
    paths = rings.instance.paths
    with pipeline.attach(paths.name, shm_directory=paths.root) as attached:
        yield attached


def payloads(items: Any, count: int) -> list[bytes]:
    return [item.payload for item in itertools.islice(items, count)]


def test_frames_are_the_bytes_that_came(rings: Rings, market: Market) -> None:
    rings.send(b"before")
    frames = market.frames(0, timeout_s=30)
    rings.send(b"\0")
    rings.writers[0].append_state(
        State.LIVE, Reason.CONNECTED, connection_epoch=3, ts_ns=1, mono_ns=1
    )
    rings.send(b"\0\1\0\2ab")
    assert next(frames) == RawFrame(
        connection=0, connection_epoch=3, sequence=1, receive_ts_ns=7, receive_mono_ns=8,
        payload=b"\0",
    )  # fmt: skip
    found = next(frames)
    assert isinstance(found, RawFrame)
    assert (found.payload, found.sequence) == (b"\0\1\0\2ab", 3)
    assert next(market.frames(timeout_s=0)) == Idle(0)
    assert payloads(market.frames(from_="oldest", timeout_s=1), 3)[0] == b"before"


def test_all_connections_take_turns_also_those_that_come(rings: Rings, market: Market) -> None:
    rings.add(1)
    frames = market.frames(timeout_s=30)
    for number in (0, 0, 0, 1):
        rings.send(b"%d" % number, number)
    assert sorted(payloads(frames, 2)) == [b"0", b"1"]
    assert payloads(frames, 2) == [b"0", b"0"]
    rings.add(2, decoder=0)
    rings.send(b"new", 2)
    assert payloads(frames, 1) == [b"new"]


def test_a_connection_that_left_is_read_to_its_end(rings: Rings, market: Market) -> None:
    frames = market.frames(timeout_s=0)
    rings.send(b"last")
    entries = rings.instance.entries
    entries[:] = [entry for entry in entries if entry.kind is not SegmentKind.FRAMES]
    rings.instance.publish()
    assert payloads(frames, 1) == [b"last"]
    assert next(frames) == Idle(0)


def test_a_lapped_reader_is_told_how_many_it_lost(rings: Rings, market: Market) -> None:
    frames = market.frames(0, timeout_s=30)
    for number in range(40):  # more than the area of 64 KiB holds
        rings.send(number.to_bytes(2, "big") + bytes(4096))
    overrun, after = next(frames), next(frames)
    assert isinstance(overrun, Overrun) and isinstance(after, RawFrame)
    assert (overrun.stage, overrun.connection, overrun.first_sequence) == ("frames", 0, 0)
    assert after.sequence == overrun.lost > 0
    assert int.from_bytes(after.payload[:2], "big") == overrun.lost


def test_frames_wake_who_waits(rings: Rings, market: Market) -> None:
    frames = market.frames(0, timeout_s=30)
    timer = threading.Timer(0.05, lambda: rings.send(b"x"))
    timer.start()
    assert payloads(frames, 1) == [b"x"]
    timer.join()


def test_frames_beside_ticks_in_asyncio(rings: Rings, market: Market) -> None:
    async def read() -> list[int]:
        found: list[int] = []

        async def ticks() -> None:
            async for batch in market.batches(timeout_s=30):
                found.append(len(batch))
                return

        async def frames() -> None:
            async for frame in market.frames(0, timeout_s=30):
                assert isinstance(frame, RawFrame)
                found.append(-len(frame.payload))
                return

        tasks = [asyncio.ensure_future(ticks()), asyncio.ensure_future(frames())]
        await asyncio.sleep(0.01)
        rings.send(b"abcd")
        rings.instance.send(3)
        await asyncio.gather(*tasks)
        return sorted(found)

    assert asyncio.run(read()) == [-4, 3]


def test_several_decoders_have_no_bell_in_common(rings: Rings, market: Market) -> None:
    rings.add(1, decoder=1)
    frames = market.frames(timeout_s=30)
    timer = threading.Timer(0.05, lambda: rings.send(b"y", 1))
    timer.start()
    assert payloads(frames, 1) == [b"y"]
    timer.join()


def test_the_end_is_raised_after_the_last_frame(rings: Rings, market: Market) -> None:
    frames = market.frames(timeout_s=30)
    rings.send(b"last")
    rings.instance.end()
    assert payloads(frames, 1) == [b"last"]
    with pytest.raises(InstanceEnded):
        next(frames)


def test_stop_ends_the_loop(rings: Rings, market: Market) -> None:
    timer = threading.Timer(0.05, market.stop)
    timer.start()
    assert list(market.frames()) == []
    timer.join()


def test_a_connection_that_is_not_there(market: Market, tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="no connection 7; it has: 0"):
        market.frames(7)
    with pytest.raises(ValueError, match="expected"):
        market.frames(0, from_="yesterday")  # type: ignore[arg-type]
