"""The frame reader's rules, one by one, on bytes (RFC 6455 sections 5, 7 and 8.1)."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.websocket import FrameReader, StreamResult, WsOpcode, encode_close, encode_frame
from pipeline.core import layout
from pipeline.core.enums import Reason
from tests.ext.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    fragmented,
    parse_client_frame,
    server_frame,
)

MESSAGE_MAX = 4096
BUFFER = 2048


def make_reader(**options: int) -> FrameReader:
    return FrameReader(MESSAGE_MAX, BUFFER, **options)


def messages(reader: FrameReader) -> list[tuple[int, bytes]]:
    return [(opcode, payload) for opcode, payload, _, _ in reader.take_events()]


def counters(reader: FrameReader) -> dict[str, int]:
    record = np.frombuffer(reader.status, dtype=layout.dtypes["FeedStatusC"])[0]
    return {
        name: int(record[name])
        for name in record.dtype.names
        if record[name].shape == () and name != "head"
    }


# ---- what is accepted ---------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 2047, 2048, MESSAGE_MAX])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_of_every_length_form_is_handed_out(size: int, opcode: int) -> None:
    reader = make_reader()
    assert reader.feed(server_frame(opcode, b"x" * size)) == StreamResult.STREAM_EVENT
    assert messages(reader) == [(opcode, b"x" * size)]


def test_a_message_needing_a_64_bit_length_is_handed_out() -> None:
    reader = FrameReader(1 << 17, BUFFER)
    payload = bytes(range(256)) * 400
    reader.feed(server_frame(BINARY, payload))
    assert messages(reader) == [(BINARY, payload)]


def test_fragments_are_joined_around_control_frames() -> None:
    reader = make_reader()
    reader.feed(
        server_frame(TEXT, b"ab", final=False)
        + server_frame(PING, b"p")
        + server_frame(CONTINUATION, b"", final=False)
        + server_frame(PONG, b"q")
        + server_frame(CONTINUATION, b"cd")
        + server_frame(BINARY, b"next")
    )
    assert messages(reader) == [(PING, b"p"), (PONG, b"q"), (TEXT, b"abcd"), (BINARY, b"next")]


def test_a_message_greater_than_the_receive_buffer_is_whole() -> None:
    reader = make_reader()
    payload = bytes(i % 251 for i in range(MESSAGE_MAX))
    reader.feed(
        server_frame(BINARY, b"first") + server_frame(BINARY, payload) + server_frame(TEXT, b"last")
    )
    assert messages(reader) == [(BINARY, b"first"), (BINARY, payload), (TEXT, b"last")]


@pytest.mark.parametrize("fragments", [2, 64])
def test_as_many_fragments_as_allowed_are_joined(fragments: int) -> None:
    reader = make_reader()
    reader.feed(fragmented(BINARY, *[b"z"] * fragments))
    assert messages(reader) == [(BINARY, b"z" * fragments)]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_close_frame_is_handed_out_and_nothing_after_it(code: int) -> None:
    reader = make_reader()
    reader.feed(close_frame(code, "grüße".encode()) + server_frame(BINARY, b"late") + b"\xff")
    assert messages(reader) == [(CLOSE, struct.pack(">H", code) + "grüße".encode())]
    assert reader.closed and reader.reason == Reason.NONE


def test_an_empty_close_frame_is_allowed() -> None:
    reader = make_reader()
    reader.feed(server_frame(CLOSE))
    assert messages(reader) == [(CLOSE, b"")]


# ---- what is refused ----------------------------------------------------------------


def _length_16(size: int) -> bytes:
    return struct.pack(">BBH", 0x82, 126, size)


def _length_64(size: int) -> bytes:
    return struct.pack(">BBQ", 0x82, 127, size)


REFUSED = {
    "first reserved bit": (server_frame(BINARY, b"x", reserved=4), 1002),
    "second reserved bit": (server_frame(BINARY, b"x", reserved=2), 1002),
    "third reserved bit": (server_frame(PING, b"x", reserved=1), 1002),
    **{f"opcode {o}": (server_frame(o, b"x"), 1002) for o in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "masked": (server_frame(BINARY, b"x", mask=b"abcd"), 1002),
    "long ping": (server_frame(PING, b"x" * 126), 1002),
    "long close": (server_frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "fragmented ping": (server_frame(PING, b"x", final=False), 1002),
    "fragmented close": (server_frame(CLOSE, b"\x03\xe8", final=False), 1002),
    "continuation of nothing": (server_frame(CONTINUATION, b"x"), 1002),
    "unfinished continuation of nothing": (server_frame(CONTINUATION, b"x", final=False), 1002),
    "text in a fragmented message": (
        server_frame(TEXT, b"a", final=False) + server_frame(TEXT, b"b"),
        1002,
    ),
    "binary in a fragmented message": (
        server_frame(TEXT, b"a", final=False) + server_frame(BINARY, b"b", final=False),
        1002,
    ),
    "continuation after the end": (fragmented(TEXT, b"a", b"b") + server_frame(CONTINUATION), 1002),
    "16 bits for 125": (_length_16(125), 1002),
    "64 bits for 65535": (_length_64(65535), 1002),
    "64 bits for 1": (_length_64(1), 1002),
    "top bit of the length": (_length_64(1 << 63), 1002),
    "all bits of the length": (_length_64((1 << 64) - 1), 1002),
    "the greatest length": (_length_64((1 << 63) - 1), 1009),
    "one byte too many": (_length_16(MESSAGE_MAX + 1), 1009),
    "one byte too many in fragments": (
        server_frame(BINARY, b"x" * (MESSAGE_MAX - 1), final=False)
        + server_frame(CONTINUATION, b"xx")[:2],
        1009,
    ),
    "65 fragments": (fragmented(BINARY, *[b""] * 65), 1009),
    "half a close code": (server_frame(CLOSE, b"\x03"), 1002),
    **{
        f"close code {c}": (close_frame(c), 1002)
        for c in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close reason": (close_frame(1000, b"\xc3"), 1007),
    "truncated text": (server_frame(TEXT, b"ok\xe2\x82"), 1007),
    "surrogate": (server_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong": (server_frame(TEXT, b"\xc0\xaf"), 1007),
    "above U+10FFFF": (server_frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "text broken over fragments": (fragmented(TEXT, b"\xe2\x82", b"x"), 1007),
    "text truncated over fragments": (fragmented(TEXT, b"\xe2", b"\x82"), 1007),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_rule_ends_the_stream_with_its_code(name: str) -> None:
    data, code = REFUSED[name]
    reader = make_reader()
    reader.feed(server_frame(BINARY, b"before"))
    assert reader.feed(data) == StreamResult.STREAM_ENDED
    assert reader.close_code == code
    assert reader.failure
    expected = {1002: Reason.PROTOCOL_ERROR, 1007: Reason.BAD_UTF8, 1009: Reason.TOO_BIG}[code]
    assert reader.reason == expected
    assert messages(reader)[0] == (BINARY, b"before")
    counted = {1002: "protocol_errors", 1007: "utf8_errors", 1009: "too_big"}[code]
    assert counters(reader)[counted] == 1
    assert reader.feed(server_frame(BINARY, b"after")) == StreamResult.STREAM_ENDED
    assert messages(reader) == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_rule_is_found_byte_by_byte_as_well(name: str) -> None:
    data, code = REFUSED[name]
    reader = make_reader()
    results = [reader.feed(data[i : i + 1]) for i in range(len(data))]
    assert StreamResult.STREAM_ENDED in results
    assert reader.close_code == code


def test_a_size_is_refused_on_the_header_alone() -> None:
    reader = make_reader()
    assert reader.feed(_length_64(1 << 40)) == StreamResult.STREAM_ENDED
    assert reader.close_code == 1009


def test_bad_text_is_refused_before_its_frame_is_whole() -> None:
    reader = make_reader()
    assert reader.feed(server_frame(TEXT, b"ab\xff" + b"x" * 500)[:8]) == StreamResult.STREAM_ENDED
    assert reader.close_code == 1007


def test_binary_is_not_checked_for_utf8() -> None:
    reader = make_reader()
    reader.feed(fragmented(BINARY, b"\xff\xfe", b"\xed\xa0\x80"))
    assert messages(reader) == [(BINARY, b"\xff\xfe\xed\xa0\x80")]


# ---- however the bytes are cut ------------------------------------------------------

CONVERSATION = (
    server_frame(BINARY, b"\x00")
    + server_frame(BINARY, bytes(range(200)))
    + server_frame(TEXT, b"x" * 125)
    + fragmented(TEXT, "grü".encode()[:3], "grü".encode()[3:], "€𝄞".encode()[:4], "€𝄞".encode()[4:])
    + server_frame(BINARY, b"y" * 3000)
    + server_frame(TEXT, b"a", final=False)
    + server_frame(PING, b"ping")
    + server_frame(CONTINUATION, b"b")
    + server_frame(PONG)
    + close_frame(1000, b"bye")
)


def whole_delivery() -> list[tuple[int, bytes]]:
    reader = FrameReader(1 << 16, 1 << 16)
    reader.feed(CONVERSATION)
    return messages(reader)


def test_a_cut_at_every_byte_changes_nothing() -> None:
    expected = whole_delivery()
    assert len(expected) == 9
    for cut in range(len(CONVERSATION) + 1):
        reader = make_reader()
        reader.feed(CONVERSATION[:cut])
        reader.feed(CONVERSATION[cut:])
        assert messages(reader) == expected, f"cut at byte {cut}"


def test_single_bytes_change_nothing() -> None:
    reader = make_reader()
    for i in range(len(CONVERSATION)):
        reader.feed(CONVERSATION[i : i + 1])
    assert messages(reader) == whole_delivery()


@settings(max_examples=150, deadline=None)
@given(
    cuts=st.lists(st.integers(0, len(CONVERSATION)), max_size=40), buffer=st.integers(1024, 9000)
)
def test_any_chunking_gives_the_same_messages(cuts: list[int], buffer: int) -> None:
    reader = FrameReader(MESSAGE_MAX, buffer)
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    for start, end in zip(edges, edges[1:], strict=False):
        reader.feed(CONVERSATION[start:end])
    assert messages(reader) == whole_delivery()


@settings(max_examples=400, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.tuples(st.text(max_size=9), st.binary(max_size=4), st.text(max_size=9)).map(
            lambda parts: parts[0].encode() + parts[1] + parts[2].encode()
        ),
    ),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_text_is_accepted_exactly_when_python_decodes_it(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    reader = make_reader()
    reader.feed(fragmented(TEXT, *parts))
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        assert reader.close_code == 1007
    else:
        assert messages(reader) == [(TEXT, data)]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400))
def test_no_bytes_whatever_make_it_misbehave(data: bytes) -> None:
    whole, pieces = make_reader(), make_reader()
    whole.feed(data)
    for i in range(len(data)):
        pieces.feed(data[i : i + 1])
    assert messages(whole) == messages(pieces)
    assert whole.close_code == pieces.close_code


# ---- counting and stamping ----------------------------------------------------------


def test_messages_bytes_and_heartbeats_are_counted() -> None:
    reader = make_reader()
    data = server_frame(BINARY, b"\x00") + server_frame(TEXT, b"{}") + server_frame(PING, b"")
    reader.feed(data)
    found = counters(reader)
    assert found["bytes_in"] == len(data)
    assert found["messages_in"] == 2
    assert found["pings_in"] == found["pongs_out"] == 1
    assert found["reads"] == 1


def test_a_message_carries_the_time_of_the_read_that_completed_it() -> None:
    reader = make_reader()
    frame = server_frame(TEXT, b"abc")
    reader.feed(frame[:3])
    since = reader.frame_since_mono_ns
    assert since > 0
    reader.feed(frame[3:])
    (_, _, receive_ts_ns, receive_mono_ns) = reader.take_events()[0]
    assert receive_mono_ns > since
    assert receive_ts_ns > 10**18
    assert reader.frame_since_mono_ns == 0


def test_a_frame_that_takes_too_long_ends_the_stream() -> None:
    reader = make_reader()
    reader.feed(server_frame(BINARY, b"done") + server_frame(BINARY, b"slow")[:3])
    since = reader.frame_since_mono_ns
    assert reader.check_timers(since + 10 * 10**9) == StreamResult.STREAM_IDLE
    assert reader.check_timers(since + 10 * 10**9 + 1) == StreamResult.STREAM_ENDED
    assert reader.reason == Reason.SLOW_FRAME
    assert counters(reader)["slow_frames"] == 1


def test_a_dribbled_frame_keeps_its_first_time() -> None:
    reader = make_reader()
    frame = server_frame(BINARY, b"x" * 50)
    reader.feed(frame[:1])
    since = reader.frame_since_mono_ns
    for i in range(1, len(frame) - 1):
        reader.feed(frame[i : i + 1])
    assert reader.frame_since_mono_ns == since


def test_pings_above_20_a_second_are_answered_late_and_once() -> None:
    reader = make_reader()
    for i in range(50):
        reader.feed(server_frame(PING, b"%d" % i))
    answered = messages(reader)
    assert [payload for _, payload in answered] == [b"%d" % i for i in range(20)]
    last_mono_ns = int(
        np.frombuffer(reader.status, layout.dtypes["FeedStatusC"])[0]["last_byte_mono_ns"]
    )
    assert reader.check_timers(last_mono_ns + 10**9) == StreamResult.STREAM_EVENT
    assert messages(reader) == [(PING, b"49")]
    found = counters(reader)
    assert (found["pings_in"], found["pongs_out"], found["pongs_suppressed"]) == (50, 21, 29)
    assert reader.check_timers(last_mono_ns + 10**9) == StreamResult.STREAM_IDLE


def test_a_flood_of_pings_ends_the_stream() -> None:
    reader = make_reader()
    for _ in range(30):
        reader.feed(server_frame(PING) * 100)
    assert reader.reason == Reason.PING_FLOOD
    assert reader.close_code == 1008
    assert counters(reader)["ping_floods"] == 1


# ---- what we send -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_client_frames_are_masked_and_whole(size: int) -> None:
    payload = bytes(i % 256 for i in range(size))
    first, second = (encode_frame(WsOpcode.WS_TEXT, payload) for _ in range(2))
    assert parse_client_frame(first) == (TEXT, payload, b"")
    assert parse_client_frame(second) == (TEXT, payload, b"")
    if size > 8:
        assert first != second, "every frame takes a new mask"


def test_masks_do_not_repeat() -> None:
    masks = {encode_frame(WsOpcode.WS_PONG, b"")[2:6] for _ in range(500)}
    assert len(masks) > 495


def test_control_frames_above_125_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="126 bytes"):
        encode_frame(WsOpcode.WS_PING, b"x" * 126)


def test_close_frames_carry_code_and_reason() -> None:
    assert parse_client_frame(encode_close(1002, b"why")) == (CLOSE, b"\x03\xeawhy", b"")
    assert parse_client_frame(encode_close(0)) == (CLOSE, b"", b"")
