"""A scripted exchange that knows what each client has subscribed to, and waits for it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Final

from tests.ext.frames import BINARY, CLOSE, PING, PONG, TEXT, server_frame
from tests.feed.scripted_server import Peer

FIRST_ACK: Final = 1_000_000


class Session:
    """One connection of a client: its subscriptions, as Kite understands the commands."""

    def __init__(self, peer: Peer) -> None:
        peer.sock.settimeout(40)
        self.peer = peer
        self.modes: dict[int, str] = {}

    def read_until(self, condition: Callable[[dict[int, str]], object]) -> None:
        """Take commands until the subscriptions are as wanted."""
        while not condition(self.modes):
            opcode, payload = self.peer.receive()
            if opcode == PING:
                self.peer.send(server_frame(PONG, payload))
            elif opcode == TEXT:
                self._take(json.loads(payload))
            assert opcode != CLOSE, self.modes

    def _take(self, command: dict[str, object]) -> None:
        action, value = command["a"], command["v"]
        assert isinstance(value, list)
        if action == "subscribe":
            for token in value:
                self.modes.setdefault(token, "quote")
        elif action == "unsubscribe":
            for token in value:
                self.modes.pop(token, None)
        else:
            assert action == "mode"
            mode, tokens = value
            for token in tokens:
                assert token in self.modes, "a mode before its subscription"
                self.modes[token] = mode

    def read_until_close(self) -> bytes:
        """Return the payload of the client's close frame."""
        while True:
            opcode, payload = self.peer.receive()
            if opcode == PING:
                self.peer.send(server_frame(PONG, payload))
            if opcode == CLOSE:
                return payload


class Acks:
    """Sends messages one by one, each when the one before it has been acknowledged."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self, session: Session, opcode: int, payload: bytes) -> None:
        """Send a message and wait for the subscription that acknowledges it."""
        self.sent += 1
        token = FIRST_ACK + self.sent
        session.peer.send(server_frame(opcode, payload))
        session.read_until(lambda modes: token in modes)


def text(document: object) -> bytes:
    """Return a text message's payload."""
    return json.dumps(document).encode()


def packets(*bodies: bytes) -> bytes:
    """Return a data message's payload."""
    parts = [struct.pack(">H", len(body)) + body for body in bodies]
    return struct.pack(">H", len(parts)) + b"".join(parts)


def ltp(token: int, price: float) -> bytes:
    """Return an ltp packet."""
    return struct.pack(">II", token, round(price * 100))


def quote(token: int, price: float) -> bytes:
    """Return a quote packet, of made-up numbers."""
    last = round(price * 100)
    return struct.pack(">11I", token, last, 5, last - 10, 1234, 50, 60, last, last, last, last - 7)


def full(token: int, price: float) -> bytes:
    """Return a full packet with five levels a side."""
    times = struct.pack(">5I", 1_700_000_000, 11, 22, 9, 1_700_000_001)
    depth = b"".join(
        struct.pack(">IIHH", 100 + level, round(price * 100) + level, level, 0)
        for level in range(10)
    )
    return quote(token, price) + times + depth


def index(token: int, price: float) -> bytes:
    """Return an index's full packet."""
    last = round(price * 100)
    return struct.pack(">8I", token, last, last + 9, last - 9, last, last - 3, 3, 1_700_000_002)


def frame_of_all(price: float) -> bytes:
    """Return a data message with one packet of each kind."""
    return packets(full(408065, price), quote(738561, price), ltp(265, price), index(256265, price))


__all__ = ["BINARY", "TEXT", "Acks", "Session", "frame_of_all", "ltp", "packets", "text"]
