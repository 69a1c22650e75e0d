"""Any chunking of the byte stream gives the same ticks: from the socket's bytes to the streams.

Frames of several packets, with heartbeats, texts, pings, fragments and malformed ones between
them, cut anywhere; through the frame reader, the frame ring and a decoder. Whatever the cuts, and
however often the decoder looks in between, everything comes out as it does in one piece, but for
the times of reception.
"""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.websocket import FrameReader
from pipeline.core.enums import Reason, SegmentKind, State
from tests.ext.frames import BINARY, PING, TEXT, fragmented, server_frame
from tests.feed.lane_rig import TOKENS, LaneRig, frame, ltp_packet, quote_packet

Array = np.ndarray[Any, Any]

MESSAGE_MAX = 65_536
BUFFER_MIN = 2048
UNASSIGNED = 77 << 8 | 1
TRADED_S = 1_700_000_000
TIMES = {"receive_ts_ns", "receive_mono_ns"}
EVENT_TIMES = {"start_ts_ns", "end_ts_ns", "start_mono_ns", "end_mono_ns"}


class Outcome(NamedTuple):
    """What can be read of the segments when everything is decoded, without times."""

    ticks: Array
    events: Array
    latest: Array
    counters: dict[str, int]
    texts: list[tuple[int, bytes]]


def full_packet(token: int, price: int, volume: int) -> bytes:
    """A packet of 184 bytes: the quote, times and open interest, and ten levels of depth."""
    times = struct.pack(">5I", TRADED_S, volume, volume + 2, volume - 1, TRADED_S + 1)
    levels = [struct.pack(">IIHH", volume + n, price + n, n, 0) for n in range(10)]
    body = quote_packet(token, price, volume)[2:] + times + b"".join(levels)
    return struct.pack(">H", 184) + body


def timeless(rows: Array, times: set[str]) -> Array:
    """Return the rows with nothing in the fields that say when, and none between the fields."""
    found = np.zeros(len(rows), rows.dtype)
    for name in set(rows.dtype.names or ()) - times:
        found[name] = rows[name]
    return found


def latest_of(rig: LaneRig) -> Array:
    """Return what stands in each slot of the latest table: (n,) tick_dtype."""
    slots = rig.segment(SegmentKind.LATEST).records("LatestSlotC", len(TOKENS))
    current = slots["head"]["version"].astype(np.intp) & 1
    found: Array = slots["copy"][np.arange(len(slots)), current]
    return found


def decoded(chunks: list[bytes], *, buffer: int = 1 << 18, looks: bool = False) -> Outcome:
    """Feed the chunks, through all stages; `looks`: the decoder works after each of them."""
    with tempfile.TemporaryDirectory() as folder:
        rig = LaneRig(Path(folder), tick_records=16_384)
        decoder, _ = rig.decoder()
        rig.state(State.SUBSCRIBING, Reason.CONNECTED)
        reader = FrameReader(MESSAGE_MAX, buffer, ring=rig.writer, connection_epoch=1)
        for chunk in chunks:
            reader.feed(chunk)
            if looks:
                decoder.run(10**9, until_idle=True)
        decoder.run(10**9, until_idle=True)
        rig.check_balance()
        texts = [(opcode, payload) for opcode, payload, _, _ in reader.take_events()]
        return Outcome(
            timeless(rig.ticks(), TIMES),
            timeless(rig.events(), EVENT_TIMES),
            timeless(latest_of(rig), TIMES),
            rig.counters(),
            texts,
        )


def assert_same(found: Outcome, expected: Outcome) -> None:
    """Compare all of it, byte by byte where it is records."""
    for name in ("ticks", "events", "latest"):
        here, there = getattr(found, name), getattr(expected, name)
        assert len(here) == len(there) and here.tobytes() == there.tobytes(), name
    assert found.texts == expected.texts
    # How often the decoder had to begin is the one thing that cuts may change.
    assert {**found.counters, "units": 0} == {**expected.counters, "units": 0}


numbers = st.integers(10, 2**31 - 20)
tokens = st.one_of(st.sampled_from(TOKENS), st.just(UNASSIGNED))
packets = st.one_of(
    st.builds(ltp_packet, tokens, numbers),
    st.builds(quote_packet, tokens, numbers, numbers),
    st.builds(full_packet, tokens, numbers, numbers),
)
payloads = st.lists(packets, min_size=1, max_size=12).map(frame)
lying = payloads.map(lambda payload: b"\x00\xff" + payload[2:])
short = payloads.map(lambda payload: payload[:-3])


@st.composite
def in_fragments(draw: st.DrawFn) -> bytes:
    """A message in several WebSocket frames, a ping between them."""
    payload = draw(payloads)
    cut = draw(st.integers(0, len(payload)))
    pieces = fragmented(BINARY, payload[:cut], payload[cut:])
    first = len(server_frame(BINARY, payload[:cut]))
    return pieces[:first] + server_frame(PING, b"?") + pieces[first:]


wire = st.one_of(
    payloads.map(lambda payload: server_frame(BINARY, payload)),
    payloads.map(lambda payload: server_frame(BINARY, payload)),
    in_fragments(),
    st.just(server_frame(BINARY, b"\x00")),
    st.one_of(lying, short).map(lambda payload: server_frame(BINARY, payload)),
    st.just(server_frame(TEXT, b'{"type":"order","data":{}}')),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A byte stream, and the same one cut anywhere."""
    data = b"".join(draw(st.lists(wire, min_size=1, max_size=25)))
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=60))), len(data)]
    return data, [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


buffers = st.integers(BUFFER_MIN, 9000)


@settings(max_examples=60, deadline=None)
@given(stream=streams(), buffer=buffers, looks=st.booleans())
def test_any_chunking_gives_the_same_ticks(
    stream: tuple[bytes, list[bytes]], buffer: int, looks: bool
) -> None:
    data, chunks = stream
    assert_same(decoded(chunks, buffer=buffer, looks=looks), decoded([data]))


@pytest.mark.full
@pytest.mark.timeout(300)
@settings(max_examples=2000, deadline=None)
@given(stream=streams(), buffer=buffers, looks=st.booleans())
def test_any_chunking_gives_the_same_ticks_two_thousand_times(
    stream: tuple[bytes, list[bytes]], buffer: int, looks: bool
) -> None:
    data, chunks = stream
    assert_same(decoded(chunks, buffer=buffer, looks=looks), decoded([data]))


@cache
def conversation() -> bytes:
    """Fifty frames of up to 300 packets: more than a unit, and more than a receive buffer."""
    source = np.random.default_rng(4)
    made = []
    for size in source.integers(1, 300, 50).tolist():
        numbers = source.integers(10, 2**31 - 20, size).tolist()
        chosen = source.choice(TOKENS, size).tolist()
        kinds = source.integers(0, 3, size).tolist()
        made.append([
            (ltp_packet(t, n), quote_packet(t, n, n), full_packet(t, n, n))[kind]
            for t, n, kind in zip(chosen, numbers, kinds, strict=True)
        ])  # fmt: skip
    return b"".join(server_frame(BINARY, frame(part)) for part in made)


@pytest.mark.parametrize("size", [1, 2, 3, 1447, 1448, 65_535])
def test_chunks_of_one_size_give_the_same_ticks(size: int) -> None:
    data = conversation()
    if size < 10:  # each byte is a step through the reader, so a tenth of it will do
        data = data[: len(data) // 10]
    whole = decoded([data])
    assert len(whole.ticks) > 500
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert_same(decoded(chunks, buffer=BUFFER_MIN), whole)
    if size > 10:
        assert_same(decoded(chunks, buffer=BUFFER_MIN, looks=True), whole)
