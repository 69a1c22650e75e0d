"""The gateway's sockets: RFC 6455 to the letter, and sizes and refusals before they cost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.services.gateway import server as gateway_server
from pipeline.services.gateway.server import Refused
from pipeline.services.gateway.tally import Refusals
from tests.services.gateway.echo import EchoServer, serving
from tests.services.gateway.raw_client import HANDSHAKE, RawClient, masked

TEXT, BINARY, MORE, CLOSE, PING = 0x81, 0x82, 0x80, 0x88, 0x89


def play(story: Callable[[EchoServer], Awaitable[None]], **options: Any) -> None:
    """Run a story against an echoing server, within its deadline."""

    async def run() -> None:
        async with asyncio.timeout(60), serving(**options) as server:
            await story(server)

    asyncio.run(run())


def test_messages_fragments_and_pings_are_answered() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        client.send(masked(TEXT, b"hello"), masked(BINARY, b"\xff\x00"))
        assert await client.frame() == (TEXT, b"hello")
        assert await client.frame() == (BINARY, b"\xff\x00")
        smile = "\N{SMILING FACE WITH SUNGLASSES}".encode()
        client.send(masked(0x01, smile[:2]), masked(PING, b"p"), masked(0x00, smile[2:3]))
        client.send(masked(MORE, smile[3:]))
        assert await client.frame() == (0x8A, b"p")
        assert await client.frame() == (TEXT, smile)
        client.send(masked(TEXT, b"x" * 70_000))
        assert (await client.frame())[1] == b"x" * 70_000
        client.send(masked(CLOSE, b"\x0f\xa0bye"))
        assert await client.close_code() == 4000
        await client.end()

    play(story)


@pytest.mark.parametrize(
    ("code", "frames"),
    [
        (1002, [masked(0xC1, b"rsv1")]),
        (1002, [masked(0xA1, b"rsv2")]),
        (1002, [masked(0x91, b"rsv3")]),
        (1002, [masked(0x83, b"reserved opcode")]),
        (1002, [masked(0x8B, b"reserved control")]),
        (1002, [masked(0x09, b"fragmented ping")]),
        (1002, [masked(PING, b"x" * 126)]),
        (1002, [bytes((TEXT, 2)) + b"hi"]),
        (1002, [masked(MORE, b"nothing to continue")]),
        (1002, [masked(0x01, b"a"), masked(TEXT, b"b")]),
        (1002, [masked(TEXT, b"a", length=b"\x7e\x00\x01")]),
        (1007, [masked(TEXT, b"\xc3\x28")]),
        (1007, [masked(TEXT, b"\xed\xa0\x80")]),
        (1007, [masked(0x01, b"\xf0\x9f"), masked(MORE, b"")]),
        (1007, [masked(0x01, b"\xc0"), masked(MORE, b"more")]),
        (1007, [masked(CLOSE, b"\x03\xe8\xff")]),
        (1002, [masked(CLOSE, b"\x03")]),
        (1002, [masked(CLOSE, b"\x00\x00")]),
        (1002, [masked(CLOSE, b"\x03\xee")]),
        (1002, [masked(CLOSE, b"\x03\xed")]),
        (1002, [masked(CLOSE, b"\xff\xff")]),
        (1009, [masked(TEXT, b"", length=b"\x7f" + (1 << 25).to_bytes(8, "big"))]),
    ],
)
def test_what_breaks_the_protocol_is_closed(code: int, frames: list[bytes]) -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        client.send(*frames, masked(TEXT, b"ignored"))
        assert await client.close_code() == code
        await client.end()
        assert server.clients[0].heard == [] and server.clients[0].channel.failed

    play(story)


def test_more_than_may_be_is_not_even_collected() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        client.send(masked(TEXT, b"x" * 4096))
        assert (await client.frame())[1] == b"x" * 4096
        client.send(
            masked(TEXT, b"", length=b"\x7f" + (1 << 20).to_bytes(8, "big")) + b"x" * 40_000
        )
        assert await client.close_code() == 1009
        await client.end()
        assert server.clients[0].channel.unread < 200_000

    play(story, early_bytes=4096)


def test_what_goes_wrong_here_ends_the_client_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        server.clients[0].payload_bytes_max = None  # type: ignore[assignment]
        client.send(masked(TEXT, b"cAnArY"))
        assert await client.close_code() == 1011
        await client.end()

    play(story)
    assert "TypeError at" in caplog.text and "_on_data" in caplog.text
    assert "cAnArY" not in caplog.text


def test_fragments_count_together() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        client.send(masked(0x01, b"x" * 3000), masked(0x00, b"x" * 1000), masked(MORE, b"x" * 97))
        assert await client.close_code() == 1009
        await client.end()
        assert server.clients[0].heard == []

    play(story, early_bytes=4096)


def test_who_is_refused_is_told_by_http_and_leaves_no_trace() -> None:
    async def story(server: EchoServer) -> None:
        server.refusal = Refused(503, "too many connections", 10, "full")
        client = await RawClient.connect(server.port, upgrade=False)
        client.send(HANDSHAKE.format(path="ws", host="localhost", more="").encode())
        head = await client.head()
        assert head.startswith("HTTP/1.1 503 ") and "Retry-After: 10\r\n" in head
        assert await client.reader.read() == b"too many connections"
        await client.end()
        assert server.server.refusals == Refusals(full=1) and server.left == []

    play(story)


@pytest.mark.parametrize(
    "request_head",
    [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "NONSENSE\r\n\r\n",
        HANDSHAKE.format(path="", host="localhost", more="").replace(" 13", " 12"),
        HANDSHAKE.format(path="", host="localhost", more="").replace("dGhl", "d"),
        "GET / HTTP/1.1\r\n" + "x: y\r\n" * 10_000,
    ],
)
def test_what_is_no_websocket_ends_and_whoever_was_admitted_leaves(request_head: str) -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port, upgrade=False)
        client.send(request_head.encode())
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await client.reader.read()
        assert not answer.startswith(b"HTTP/1.1 101")
        await client.end()
        while server.server.sockets:
            await asyncio.sleep(0.001)
        assert len(server.left) == len(server.clients)

    play(story)


def test_who_sends_no_handshake_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_server, "HANDSHAKE_WITHIN_S", 0.3)

    async def story(server: EchoServer) -> None:
        silent = await RawClient.connect(server.port, upgrade=False)
        silent.send(b"GET / HT")
        assert await silent.reader.read() == b""
        await silent.end()
        while server.server.sockets:
            await asyncio.sleep(0.001)
        assert server.arriving == 0 and server.clients == []
        assert server.server.refusals == Refusals(handshake=1)

    play(story)


def test_who_may_not_even_wait_is_ended_at_once() -> None:
    async def story(server: EchoServer) -> None:
        server.arriving_max = 1
        silent = await RawClient.connect(server.port, upgrade=False)
        while server.arriving == 0:
            await asyncio.sleep(0.001)
        other = await RawClient.connect(server.port, upgrade=False)
        assert await other.reader.read() == b""
        silent.send(HANDSHAKE.format(path="", host="localhost", more="").encode())
        assert "101 Switching" in await silent.head()
        assert server.arriving == 0 and server.server.refusals == Refusals(address=1)
        for client in (silent, other, await RawClient.connect(server.port)):
            await client.end()

    play(story)


def test_compression_is_not_negotiated() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port, upgrade=False)
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        client.send(HANDSHAKE.format(path="", host="localhost", more=offer).encode())
        head = await client.head()
        assert "101 Switching" in head and "extensions" not in head.lower()
        await client.end()

    play(story)


def test_who_ends_only_his_direction_has_left() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        client.writer.write_eof()
        assert await client.reader.read() == b""
        await client.end()
        while server.server.sockets:
            await asyncio.sleep(0.001)
        assert len(server.left) == 1

    play(story)


def test_frames_that_say_nothing_are_counted_and_little_is_read_at_once() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        echo = server.clients[0]
        protocol = echo.channel._raw.get_protocol()
        client.send(masked(PING, b"") * 50_000, masked(0x8A, b"") * 10)
        client.send(masked(0x01, b""), masked(0x00, b"") * 100, masked(MORE, b"end"))
        largest, pongs = 0, 0
        while (found := await client.frame())[0] == 0x8A:
            largest, pongs = max(largest, len(protocol.get_buffer(-1))), pongs + 1
        assert found == (TEXT, b"end") and pongs == 50_000
        assert echo.bothers == 50_000 + 10 + 101 and largest <= 8192
        await client.end()

    play(story)


def test_no_more_sockets_than_may_be() -> None:
    async def story(server: EchoServer) -> None:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        extra = await RawClient.connect(server.port, upgrade=False)
        assert await extra.reader.read() == b""
        for client in [*clients, extra]:
            await client.end()
        while server.server.sockets:
            await asyncio.sleep(0.001)
        again = await RawClient.connect(server.port)
        await again.end()

    play(story, sockets_max=3)


def test_a_full_socket_is_noticed_and_so_is_that_it_drains() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        echo = server.clients[0]
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while echo.flows:
            echo.channel.say(b"x" * 10_000)
            await asyncio.sleep(0)
        assert echo.channel.outstanding() > echo.channel.buffered > 0
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while not echo.flows:
            await client.frame()
        echo.channel.close(1001, "away")
        while (await client.frame())[0] != CLOSE:
            pass
        client.send(masked(CLOSE, b"\x03\xe9"))
        assert await client.reader.read() == b""
        await client.end()

    play(story)


def test_who_does_not_answer_a_close_frame_is_ended() -> None:
    async def story(server: EchoServer) -> None:
        client = await RawClient.connect(server.port)
        server.clients[0].channel.close(4401, "auth timeout")
        server.clients[0].channel.close(1000, "again")
        assert await client.frame() == (CLOSE, b"\x11\x31auth timeout")
        assert server.clients[0].closings == 1
        server.clients[0].channel.write(masked(TEXT, b"nothing comes behind a close frame"))
        client.send(masked(TEXT, b"too late"))
        with contextlib.suppress(ConnectionError):
            assert await client.reader.read() == b""
        await client.end()
        assert server.clients[0].heard == []

    play(story)
