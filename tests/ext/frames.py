"""WebSocket frames as a server writes them, right or wrong; independent of `ext/ws.h`."""

from __future__ import annotations

import struct
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA


def server_frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, mask: bytes = b""
) -> bytes:
    """Return one frame with the shortest length form."""
    first = (0x80 if final else 0) | reserved << 4 | opcode
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        header = struct.pack(">BB", first, masked | size)
    elif size < 65536:
        header = struct.pack(">BBH", first, masked | 126, size)
    else:
        header = struct.pack(">BBQ", first, masked | 127, size)
    return header + mask + payload


def fragmented(opcode: int, *parts: bytes) -> bytes:
    """Return one message in as many frames as there are parts."""
    frames = [
        server_frame(opcode if index == 0 else CONTINUATION, part, final=index == len(parts) - 1)
        for index, part in enumerate(parts)
    ]
    return b"".join(frames)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    """Return a close frame with a code."""
    return server_frame(CLOSE, struct.pack(">H", code) + reason)


def parse_client_frame(data: bytes) -> tuple[int, bytes, bytes]:
    """Return (opcode, payload, rest) of one masked, unfragmented client frame."""
    first, second = data[0], data[1]
    assert first & 0x70 == 0 and first & 0x80, "fragmented, or a reserved bit"
    assert second & 0x80, "a client must mask"
    size, at = second & 0x7F, 2
    if size == 126:
        size, at = struct.unpack_from(">H", data, 2)[0], 4
    elif size == 127:
        size, at = struct.unpack_from(">Q", data, 2)[0], 10
    mask = data[at : at + 4]
    body = data[at + 4 : at + 4 + size]
    assert len(body) == size, "an incomplete frame"
    return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(body)), data[at + 4 + size :]
