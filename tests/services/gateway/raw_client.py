"""A client that sends whatever bytes a test wants, over a plain socket in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import struct

HANDSHAKE = (
    "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
MASK = b"\x11\x22\x33\x44"


def masked(first: int, payload: bytes, *, length: bytes | None = None) -> bytes:
    """Return a frame as a client sends it; `first` is its first byte."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes((size,))
        else:
            length = (
                struct.pack(">BH", 126, size) if size < 1 << 16 else struct.pack(">BQ", 127, size)
            )
    body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return bytes((first, length[0] | 0x80)) + length[1:] + MASK + body


class RawClient:
    """A socket whose other end may be a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(
        cls, port: int, *, upgrade: bool = True, more: str = "", host: str = ""
    ) -> RawClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = cls(reader, writer)
        if upgrade:
            client.send(
                HANDSHAKE.format(path="", host=host or f"127.0.0.1:{port}", more=more).encode()
            )
            head = await client.head()
            assert head.startswith("HTTP/1.1 101 Switching Protocols"), head
            assert len(head) < 1024
        return client

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.writer.write(chunk)

    async def frame(self) -> tuple[int, bytes]:
        """Return (first byte, payload) of the next frame."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        """Return the code of the close frame that comes next, and see the socket end after it."""
        first, payload = await self.frame()
        assert first == 0x88, (first, payload)
        assert await self.reader.read() == b""
        return int.from_bytes(payload[:2], "big")

    async def end(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()
