"""As many bad messages as good ones: no good one is lost, nothing grows, and the log stays short.

A scripted server, the feed and the decoder; the good ones are known by the number that each
carries as its volume, and are read from the tick stream itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.core import layout, logs
from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.feed.decoder import open_decoder, open_lane
from tests.ext.frames import BINARY, TEXT, server_frame
from tests.feed.lane_rig import frame, quote_packet
from tests.feed.scripted_server import Peer, serving
from tests.feed.stage import Stage

TOKEN = 408065
PER_SECOND = 5_000
SLICES_PER_SECOND = 100
GROWTH_BYTES_MAX = 8 << 20
LOG_LINES_PER_SECOND_MAX = 2
PATIENCE_S = 120.0
#: What the full count really has to reach of the rate that it promises, by the sender's clock.
RATE_SHARE_MIN = 0.9
TRIES = 3  # on a machine that is busy with something else the sender falls behind
RINGS = "[rings]\npackets_per_instrument_per_s = 200\ntick_records = 65536"
TICKS_HEAD = 64 + -(-layout.dtypes["CommitCellC"].itemsize // 64) * 64

BAD = (
    server_frame(BINARY, b""),
    server_frame(BINARY, b"\xff\xff\x00"),  # a count of packets that are not there
    server_frame(BINARY, b"\x00\x01\x00\x2c" + bytes(10)),  # a length beyond the end
    server_frame(BINARY, b"\x00\x01\x00\x11" + bytes(17)),  # a size that nobody knows
    server_frame(BINARY, frame([quote_packet(7, 100, 1)])),  # an instrument that nobody wants
    server_frame(BINARY, bytes(range(40))),
    server_frame(TEXT, b"{not json"),
    server_frame(TEXT, b'{"type":"error","data":"go away"}'),
    server_frame(TEXT, b"[" * 500),
)


def slices(seconds: float) -> Iterator[bytes]:
    """Yield what goes out each hundredth of a second: good and bad, one after the other."""
    bad = cycle(BAD)
    number = 0
    for _ in range(int(seconds * SLICES_PER_SECOND)):
        data = bytearray()
        for _ in range(PER_SECOND // SLICES_PER_SECOND):
            number += 1
            data += server_frame(BINARY, frame([quote_packet(TOKEN, 100, number)])) + next(bad)
        yield bytes(data)


class TickReader:
    """Reads the volumes of the wanted instrument from connection 0's tick stream."""

    def __init__(self, stage: Stage) -> None:
        segment = stage.attach(SegmentKind.TICKS)
        self._control = segment.record("RingControlC")
        self._records = segment.records("TickC", segment.capacity, TICKS_HEAD)
        self._cursor = int(self._control["tail"])

    def take(self) -> list[int]:
        """Return those that are new; the decoder runs in this thread, so they hold still."""
        tail = int(self._control["tail"])
        rows = self._records[np.arange(self._cursor, tail) % len(self._records)]
        self._cursor = tail
        volumes: list[int] = rows["volume_traded"][rows["instrument_token"] == TOKEN].tolist()
        return volumes


def _own_bytes() -> int:
    """Return this process's memory without the rings, which fill up once."""
    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))


@pytest.mark.full
@pytest.mark.timeout(400)
def test_thirty_seconds_of_bad_among_good(tmp_path: Path) -> None:
    reached: list[float] = []
    while not reached or (reached[-1] < RATE_SHARE_MIN * PER_SECOND and len(reached) < TRIES):
        delivered, sent_in_s = check(tmp_path / str(len(reached)), seconds=30)
        reached.append(delivered / sent_in_s)
        print(f"{reached[-1]:,.0f} good and as many bad frames/s for {sent_in_s:.1f} s")
    assert reached[-1] >= RATE_SHARE_MIN * PER_SECOND, reached


def test_bad_among_good(tmp_path: Path) -> None:
    check(tmp_path, seconds=1)


def send_paced(peer: Peer, seconds: float) -> float:
    """Send a slice when it is due, at once those that are late; return how long it took."""
    began_s = time.monotonic()
    for number, data in enumerate(slices(seconds), 1):
        due_s = began_s + number / SLICES_PER_SECOND
        if peer.stopping.wait(max(0.0, due_s - time.monotonic())):
            break
        peer.send(data)
    return time.monotonic() - began_s


def check(folder: Path, seconds: float) -> tuple[int, float]:
    """Send for so long; compare what came out, the memory and the log.

    Return how many good frames were delivered, and how long the sender took for them.
    """
    sent_in_s: list[float] = []

    def script(peer: Peer) -> None:
        peer.upgrade()
        sent_in_s.append(send_paced(peer, seconds))
        peer.wait_for_end()

    log_read, log_write = os.pipe()
    with (
        os.fdopen(log_read, "rb") as told,
        serving(script) as server,
        os.fdopen(log_write, "wb") as log,
    ):
        handler = logs.StderrHandler(log.fileno(), role="feed", as_json=False)
        ours = logging.getLogger("pipeline")
        ours.addHandler(handler)
        ours.propagate = False  # pytest keeps every record, and memory is measured here
        stage = Stage(folder, server.url, feed=RINGS)
        decoder = open_decoder(stage.config, stage.paths, 0)
        open_lane(decoder, stage.paths, 0)
        reader = TickReader(stage)
        got = 0
        wanted = int(seconds * PER_SECOND)
        with stage.running():
            began_s = time.monotonic()
            memory: list[int] = []
            while got < wanted and time.monotonic() < began_s + PATIENCE_S:
                decoder.run(20_000_000)
                volumes = reader.take()
                assert volumes == list(range(got + 1, got + len(volumes) + 1))
                got += len(volumes)
                memory.append(_own_bytes())
            lasted_s = time.monotonic() - began_s
            assert server.connections == 1
        ours.propagate = True
        ours.removeHandler(handler)
        handler.flush()
        log.close()
        lines = told.read().splitlines()
    assert got == wanted
    assert stage.state == (State.CLOSED, Reason.DRAINED)
    assert memory[-1] - memory[len(memory) // 2] < GROWTH_BYTES_MAX
    warnings = [line for line in lines if b" warning " in line]
    # A line and its count for each of the two kinds of text, and as many for the rest of a second.
    assert 2 <= len(warnings) <= LOG_LINES_PER_SECOND_MAX * (lasted_s + 2), lines
    return got, sent_in_s[0]
