"""An exchange in this process, its clients on socket pairs, time in the test's hand."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.sim.client import Client
from pipeline.sim.exchange import Exchange
from pipeline.sim.options import SimulatorOptions
from pipeline.sim.transport import PlainTransport

REQUEST = (
    "GET /?api_key={key}&access_token={key} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Version: 13\r\nX-Pipeline-Connection: {connection}\r\n\r\n"
)


def client_frame(opcode: int, payload: bytes) -> bytes:
    """Mask and frame what a client says; at most 65,535 bytes."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + struct.pack(">H", size)
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + head + mask + body


class Rig:
    """Turns the exchange by hand, as the server's loop would."""

    def __init__(self, **options: Any) -> None:
        self.now_s = 1000.0
        self.options = SimulatorOptions(**{"instruments": 100, "interval_s": 0.1, **options})
        self.exchange = Exchange(self.options.checked(), truth=None, gate=None, now_s=self.now_s)
        self.far: dict[Client, socket.socket] = {}

    def connect(self, *, key: str = "demo", connection: int = 0) -> Client:
        near, far = socket.socketpair()
        far.setblocking(False)
        client = self.exchange.accept(Pair(near), self.now_s)
        self.far[client] = far
        far.sendall(REQUEST.format(key=key, connection=connection).encode())
        self.turn(0)
        return client

    def say(self, client: Client, action: str, value: object) -> None:
        text = json.dumps({"a": action, "v": value}).encode()
        self.far[client].sendall(client_frame(1, text))
        self.turn(0)

    def turn(self, seconds: float) -> None:
        """Let time pass, then do one turn."""
        self.now_s += seconds
        for client in list(self.exchange.clients):
            client.blocked = False
            client.on_readable(self.now_s)
        self.exchange.step(self.now_s)
        for client in list(self.exchange.clients):
            client.flush(self.now_s)
            if client.gone:
                self.exchange.forget(client)
                client.release()

    def received(self, client: Client) -> bytes:
        """Return what has arrived at the far end."""
        try:
            return self.far[client].recv(1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        for client in self.exchange.clients:
            client.release()
        for far in self.far.values():
            far.close()


class Pair(PlainTransport):
    """A transport on a socket pair, which has no TCP options."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)


@contextmanager
def rig(**options: Any) -> Iterator[Rig]:
    made = Rig(**options)
    try:
        yield made
    finally:
        made.close()
