"""A socket that speaks WebSocket byte by byte, for clients whose very bytes matter."""

from __future__ import annotations

import json
import socket
import time
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

DEADLINE_S = 30.0
_MASK = b"\x12\x34\x56\x78"


class Frame(NamedTuple):
    """A frame of the server: `opcode`, its payload, and how long all of it was."""

    opcode: int
    payload: bytes
    size: int


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """Return a client's frame of up to 64 KiB."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    body = bytes(byte ^ _MASK[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + _MASK + body


def first_frame(raw: bytes) -> Frame | None:
    """Return the first frame of what was received; None while it is not whole.

    Strict as the pickiest client: final, not masked, no reserved bits, no 64-bit length.
    """
    if len(raw) < 2:
        return None
    assert raw[0] & 0xF0 == 0x80, f"fragmented or reserved bits: {raw[0]:#x}"
    assert raw[1] & 0x80 == 0, "a masked frame from a server"
    assert raw[1] != 127, "a 64-bit length"
    head = 4 if raw[1] == 126 else 2
    if len(raw) < head:
        return None
    size = int.from_bytes(raw[2:4], "big") if head == 4 else raw[1]
    if len(raw) < head + size:
        return None
    return Frame(raw[0] & 0x0F, raw[head : head + size], head + size)


class Raw:
    """A context: a connected socket."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        assert place.hostname is not None and place.port is not None
        self.host = f"{place.hostname}:{place.port}"
        self.socket = socket.create_connection((place.hostname, place.port), DEADLINE_S)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.socket.close()

    def upgrade(self, request: str) -> bytes:
        """Send a handshake, line by line as it is written; return the answer of one recv."""
        lines = [line.strip() for line in request.strip().splitlines()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).replace("HOST", self.host).encode())
        return self.socket.recv(1024)

    def send(self, *messages: dict[str, Any]) -> None:
        """Send messages, all in one write."""
        self.socket.sendall(b"".join(masked(json.dumps(m).encode()) for m in messages))

    def next(self) -> dict[str, Any]:
        """Return the next message, whatever came with it in one read."""
        while (frame := first_frame(self._buffer)) is None:
            data = self.socket.recv(65_536)
            assert data, "the server has closed"
            self._buffer += data
        self._buffer = self._buffer[frame.size :]
        if frame.opcode != 1:
            return self.next()
        message: dict[str, Any] = json.loads(frame.payload)
        return message

    def until(self, wanted: str) -> dict[str, Any]:
        """Return the next message of a type; errors have none, and are called "error"."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            message = self.next()
            if message.get("type") == wanted or (wanted == "error" and "code" in message):
                return message
        raise AssertionError(f"no {wanted} within {DEADLINE_S} s")

    def wait_for_end(self) -> bytes:
        """Return all that comes until the server closes."""
        rest = self._buffer
        try:
            while data := self.socket.recv(65_536):
                rest += data
        except ConnectionResetError:
            pass
        return rest
