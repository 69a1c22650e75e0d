"""Frames that should not be: lying, oversized, broken, fragmented. Floor 4; no I/O.

Each function returns the bytes to put between two good frames, and the rows to log for the
packets in them that a reader may count on: kind fresh where every client takes them, kind lying
where a strict reader takes the whole packets before the fault and the reference client throws the
frame away. Behind a violation of the WebSocket protocol nothing is logged, as the client must end
the connection.
"""

from __future__ import annotations

import json
import os
import random
import struct
from typing import Final, NamedTuple

from ext.simulate import KIND_FRESH, KIND_LYING, encode_frame, websocket_frame

TEXT: Final = 0x1
BINARY: Final = 0x2
PING: Final = 0x9
_FIN: Final = 0x80
_KNOWN_SIZES: Final = (8, 28, 32, 44, 184)
_ODD_SIZES: Final = (0, 3, 4, 7, 9, 12, 27, 45, 164, 183, 185, 492)

Row = tuple[int, int, int, int]


class Packet(NamedTuple):
    """A good packet: its body and what the truth log says of it."""

    body: bytes
    token: int
    sequence: int
    mode: int

    def row(self, kind: int) -> Row:
        return self.token, self.sequence, self.mode, kind


class Broken(NamedTuple):
    """Bytes for the wire and the rows to log once they were sent."""

    data: bytes
    rows: list[Row]


def lying_count(packets: list[Packet], *, by: int) -> Broken:
    """Claim `by` packets more (or, if negative, fewer) than there are."""
    payload = bytearray(encode_frame([packet.body for packet in packets]))
    claimed = max(0, len(packets) + by)
    payload[0:2] = claimed.to_bytes(2, "big")
    kind = KIND_LYING if claimed > len(packets) else KIND_FRESH
    return Broken(_binary(payload), [packet.row(kind) for packet in packets[:claimed]])


def lying_length(packets: list[Packet], *, by: int) -> Broken:
    """Let the last packet's length run `by` bytes past the end of the frame."""
    payload = bytearray(encode_frame([packet.body for packet in packets]))
    if packets:
        size = len(packets[-1].body)
        at = len(payload) - size - 2
        payload[at : at + 2] = (size + by).to_bytes(2, "big")
    return Broken(_binary(payload), [packet.row(KIND_LYING) for packet in packets[:-1]])


def unknown_size(packets: list[Packet], *, size: int | None, source: random.Random) -> Broken:
    """Put a packet of a size that does not exist between the good ones."""
    if size is None:
        size = source.choice(_ODD_SIZES)
    odd = source.randbytes(size)
    half = len(packets) // 2
    bodies = [packet.body for packet in packets]
    payload = encode_frame([*bodies[:half], odd, *bodies[half:]])
    # The reference client takes a token of four bytes out of every packet, and fails without.
    kind = KIND_FRESH if size >= 4 and size not in _KNOWN_SIZES else KIND_LYING
    return Broken(_binary(payload), [packet.row(kind) for packet in packets])


def trailing(packets: list[Packet], *, size: int, source: random.Random) -> Broken:
    """Leave bytes behind the last packet."""
    payload = encode_frame([packet.body for packet in packets]) + source.randbytes(size)
    return Broken(_binary(payload), [packet.row(KIND_FRESH) for packet in packets])


def fragmented(packets: list[Packet], *, pieces: int, source: random.Random) -> Broken:
    """Send a good message in fragments, a ping between two of them."""
    payload = encode_frame([packet.body for packet in packets])
    cuts = sorted(source.randrange(len(payload) + 1) for _ in range(max(1, pieces) - 1))
    edges = [0, *cuts, len(payload)]
    parts = [payload[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    data = bytearray()
    for index, part in enumerate(parts):
        frame = bytearray(websocket_frame(0 if index else BINARY, part))
        if index < len(parts) - 1:
            frame[0] &= ~_FIN
        data += frame
        if index == 0 and len(parts) > 1:
            data += websocket_frame(PING, b"between")
    return Broken(bytes(data), [packet.row(KIND_FRESH) for packet in packets])


def giant(size: int) -> Broken:
    """Announce a message of `size` bytes, and send none of them."""
    return Broken(bytes([_FIN | BINARY, 127]) + struct.pack(">Q", size), [])


def masked(packets: list[Packet]) -> Broken:
    """Mask a frame, which only clients may."""
    frame = bytearray(_binary(encode_frame([packet.body for packet in packets[:1]])))
    mask = os.urandom(4)
    payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(frame[2:]))
    return Broken(bytes([frame[0], frame[1] | 0x80]) + mask + payload, [])


def reserved_bits(packets: list[Packet]) -> Broken:
    """Set a reserved bit without a negotiated extension."""
    frame = bytearray(_binary(encode_frame([packet.body for packet in packets])))
    frame[0] |= 0x40
    return Broken(bytes(frame), [])


def reserved_opcode() -> Broken:
    """Use an opcode that does not exist."""
    return Broken(websocket_frame(0x3, b""), [])


def empty() -> Broken:
    """Send a binary message without a byte."""
    return Broken(websocket_frame(BINARY, b""), [])


def pings(count: int) -> Broken:
    """Send many pings at once."""
    return Broken(b"".join(websocket_frame(PING, i.to_bytes(4, "big")) for i in range(count)), [])


BAD_TEXTS: Final = {
    "json": b'{"type": "order", "data": {',
    "utf8": b'{"type": "message", "data": "\xff\xfe\xc3"}',
    "array": b"[1, 2, 3]",
    "number": b"42",
    "null": b"null",
    "nested": b"[" * 50_000 + b"]" * 50_000,
    "unknown": json.dumps({"type": "surprise", "data": {"a": 1}}).encode(),
    "no_type": b'{"data": 1}',
    "no_data": b'{"type": "order"}',
    "empty": b"",
}


def bad_text(kind: str) -> Broken:
    """Send one of `BAD_TEXTS`; only `utf8` breaks the WebSocket protocol."""
    return Broken(websocket_frame(TEXT, BAD_TEXTS[kind]), [])


def _binary(payload: bytes | bytearray) -> bytes:
    return websocket_frame(BINARY, bytes(payload))
