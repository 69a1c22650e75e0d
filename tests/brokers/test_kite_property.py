"""The Kite decoder: compiled equals twin, units equal the whole, nothing is uncounted."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ext.decode import DecodeStatus, KiteDecoder, decode_frame_kite
from pipeline.brokers.kite import wire
from pipeline.brokers.tick_flags import TickBase
from pipeline.core.layout import dtypes
from tests.brokers import kite_frames as make

TOKENS = (make.INFY, make.NIFTY_50, make.EURINR, make.ALUMINI)

_valid_bodies = st.builds(
    lambda seed, size, segment: make.random_body(random.Random(seed), size=size, segment=segment),
    st.integers(0, 2**32),
    st.sampled_from(make.SIZES),
    st.sampled_from((*make.SEGMENTS, 0, 13, 255)),
)
_bodies = st.one_of(_valid_bodies, st.binary(max_size=200))
frames = st.builds(
    lambda bodies, lie, tail: make.frame(*bodies, count=max(0, len(bodies) + lie), tail=tail),
    st.lists(_bodies, max_size=8),
    st.sampled_from((0, 0, 0, -1, 1, 60_000)),
    st.sampled_from((b"", b"", b"\x00", b"\x00\x08", bytes(40))),
)
_any_frame = st.one_of(frames, st.binary(max_size=64))


@given(_any_frame, st.integers(0, 2**62))
def test_compiled_decoder_equals_its_twin(frame: bytes, receive_ts_ns: int) -> None:
    stamps = {"receive_ts_ns": receive_ts_ns, "source_sequence": 9, "connection": 2}
    twin = make.bits(wire.decode_frame(frame, **stamps))
    assert make.bits(decode_frame_kite(frame, **stamps)) == twin
    assert make.bits(decode_frame_kite(frame, portable=True, **stamps)) == twin


@given(st.lists(st.tuples(st.sampled_from(TOKENS), _valid_bodies), max_size=20), st.booleans())
def test_compiled_decoder_equals_its_twin_over_a_session(
    packets: list[tuple[int, bytes]], portable: bool
) -> None:
    bodies = [token.to_bytes(4, "big") + body[4:] for token, body in packets]
    decoder = KiteDecoder(slot_count=len(TOKENS), portable=portable)
    rows = np.zeros(len(TOKENS), dtypes["AssignmentC"])
    rows["instrument_token"], rows["slot"], rows["mode"] = TOKENS, range(len(TOKENS)), 3
    decoder.assign(rows)
    bases: dict[int, TickBase] = {}
    for sequence, body in enumerate(bodies):
        frame = make.frame(body)
        _, ticks, _ = decoder.decode_unit(frame, receive_ts_ns=make.RECEIVE_TS_NS)
        twin = wire.decode_frame(
            frame, receive_ts_ns=make.RECEIVE_TS_NS, first_sequence=sequence, bases=bases
        )
        assert make.bits(ticks) == make.bits(twin)


_SECOND = make.RECEIVE_TS_NS // 10**9
_seconds = st.sampled_from(
    (0, 1, 946_684_799, 946_684_800, make.EXCHANGE_TIME, make.EXCHANGE_TIME + 1, _SECOND + 86_399,
     _SECOND + 86_400, _SECOND + 86_401, 2**31 - 1, 2**31, 2**32 - 1)
)  # fmt: skip
_prices = st.sampled_from((-(2**31), -100, -1, 0, 1, 79, 80, 81, 100, 119, 120, 121, 2**31 - 1))
#: Word of a full packet's body -> what stands there, near the borders of the flags.
_edges: dict[int, st.SearchStrategy[int]] = {
    1: _prices, 4: st.integers(0, 2), 7: _prices, 8: _prices, 9: _prices, 11: _seconds,
    15: _seconds, 16: st.integers(0, 1), 17: _prices, 31: st.integers(0, 1), 32: _prices,
}  # fmt: skip


@st.composite
def _full_packets(draw: st.DrawFn) -> bytes:
    """Return a packet beyond doubt but for a few words."""
    body = bytearray(make.full())
    for word in draw(st.sets(st.sampled_from(sorted(_edges)), max_size=4)):
        value = draw(_edges[word]) % 2**32
        body[4 * word : 4 * word + 4] = value.to_bytes(4, "big")
    return bytes(body)


@given(
    st.lists(_full_packets(), min_size=1, max_size=6),
    st.sampled_from((0, 1, make.RECEIVE_TS_NS, 2**31 * 10**9, 2**62)),
    st.booleans(),
)
def test_full_packets_near_the_borders_of_the_flags(
    bodies: list[bytes], receive_ts_ns: int, portable: bool
) -> None:
    decoder = KiteDecoder(slot_count=1, portable=portable)
    rows = np.zeros(1, dtypes["AssignmentC"])
    rows["instrument_token"], rows["mode"] = make.INFY, 3
    decoder.assign(rows)
    bases: dict[int, TickBase] = {}
    for sequence, body in enumerate(bodies):
        frame = make.frame(body)
        _, ticks, _ = decoder.decode_unit(frame, receive_ts_ns=receive_ts_ns)
        twin = wire.decode_frame(
            frame, receive_ts_ns=receive_ts_ns, first_sequence=sequence, bases=bases
        )
        assert make.bits(ticks) == make.bits(twin)


@given(frames, st.integers(1, 5))
def test_units_of_any_size_give_the_whole_frame(frame: bytes, capacity: int) -> None:
    decoder = KiteDecoder(capacity=capacity)
    status, ticks, _ = decoder.decode_unit(frame)
    parts = [ticks]
    while status == DecodeStatus.DECODE_MORE:
        index, offset = decoder.position
        status, ticks, _ = decoder.decode_unit(frame, packet_index=index, packet_offset=offset)
        parts.append(ticks)
    assert make.bits(np.concatenate(parts)) == make.bits(decode_frame_kite(frame))


@given(st.lists(_any_frame, max_size=5), st.sets(st.sampled_from(TOKENS)))
def test_every_packet_is_delivered_or_counted_as_dropped(
    frames: list[bytes], assigned: set[int]
) -> None:
    decoder = KiteDecoder(slot_count=8)
    rows = np.zeros(len(assigned), dtypes["AssignmentC"])
    rows["instrument_token"], rows["slot"], rows["mode"] = sorted(assigned), range(len(rows)), 1
    decoder.assign(rows)
    delivered = decoder.decode_frames(frames)
    counters = decoder.counters
    assert counters["packets_in"] == sum(len(wire.split_frame(frame).bodies) for frame in frames)
    assert counters["ticks_out"] == delivered
    assert counters["packets_in"] == delivered + sum(
        counters[f"packets_{reason}"] for reason in ("unknown_size", "unassigned", "unsubscribed")
    )
    ends = [wire.split_frame(frame).end for frame in frames]
    assert counters["frames_short"] == ends.count(wire.FrameEnd.SHORT)
    assert counters["frames_trailing"] == ends.count(wire.FrameEnd.TRAILING)


@given(_valid_bodies)
def test_prices_are_the_doubles_that_python_gets(body: bytes) -> None:
    (tick,) = decode_frame_kite(make.frame(body))
    divisor = wire.divisor_of(int(tick["instrument_token"]))
    raw = int.from_bytes(body[4:8], "big", signed=True)
    assert tick["last_price"].item().hex() == (raw / divisor).hex()
