"""What servers say in the tests of a live connection, and what they hear."""

from __future__ import annotations

import json

from tests.ext.frames import BINARY, TEXT, server_frame
from tests.feed.scripted_server import Peer

HEARTBEAT = server_frame(BINARY, b"\x00")
TICK = server_frame(BINARY, b"\x00\x01\x00\x08" + bytes(8))


def beating(peer: Peer, *, tick: bool = True) -> None:
    """Send a heartbeat (and a tick) each 20 ms until the test is over."""
    while not peer.stopping.wait(0.02):
        peer.send(HEARTBEAT + (TICK if tick else b""))


def commands_of(frames: list[tuple[int, bytes]]) -> list[dict[str, object]]:
    return [json.loads(payload) for opcode, payload in frames if opcode == TEXT]
