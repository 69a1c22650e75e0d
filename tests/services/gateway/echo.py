"""A strict WebSocket server that echoes: the gateway's sockets with nothing behind them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from picows import WSUpgradeRequest

from pipeline.services.gateway.channel import Channel, frame
from pipeline.services.gateway.server import Refused, Server


class Echo:
    """Says what it hears."""

    def __init__(self, channel: Channel, payload_bytes_max: int) -> None:
        self.channel = channel
        self.payload_bytes_max = payload_bytes_max
        self.flows = True
        self.bothers = self.closings = 0
        self.heard: list[bytes] = []

    def opened(self) -> None:
        pass

    def receive(self, payload: bytes) -> None:
        self.heard.append(payload)
        self.channel.write(frame(self.channel.opcode, payload))

    def writable(self, *, flows: bool) -> None:
        self.flows = flows

    def wrote(self) -> None:
        pass

    def bothered(self) -> None:
        self.bothers += 1

    def closing(self) -> None:
        self.closings += 1


class EchoServer:
    """What was admitted and what has left; `refusal` turns everybody away."""

    def __init__(self, *, message_bytes: int, early_bytes: int, sockets_max: int) -> None:
        self.clients: list[Echo] = []
        self.left: list[Channel] = []
        self.refusal: Refused | None = None
        self.early_bytes = early_bytes
        self.arriving = 0
        self.arriving_max = sockets_max
        self.server = Server(
            arrive=self.arrive, arrived=self.arrived, admit=self.admit, left=self.left.append,
            sockets_max=sockets_max, message_bytes=message_bytes, buffer_bytes=65536,
        )  # fmt: skip
        self.port = 0

    def arrive(self, peer: str) -> bool:
        if self.arriving >= self.arriving_max:
            return False
        self.arriving += 1
        return True

    def arrived(self, peer: str) -> None:
        self.arriving -= 1

    def admit(self, peer: str, request: WSUpgradeRequest, channel: Channel) -> Refused | None:
        assert peer == "127.0.0.1"
        if self.refusal is None:
            channel.receiver = Echo(channel, self.early_bytes)
            self.clients.append(channel.receiver)
        return self.refusal


@asynccontextmanager
async def serving(
    *, message_bytes: int = 1 << 24, early_bytes: int = 1 << 24, sockets_max: int = 100
) -> AsyncIterator[EchoServer]:
    """Serve on a free port until the block ends."""
    echo = EchoServer(message_bytes=message_bytes, early_bytes=early_bytes, sockets_max=sockets_max)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        echo.port = listener.getsockname()[1]
        await echo.server.listen(listener)
        yield echo
        for client in echo.clients:
            client.channel.abort()
        echo.server.close()
        await asyncio.sleep(0.01)
