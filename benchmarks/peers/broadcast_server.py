"""Broadcasts the lines of a file to so many clients, as fast as all of them take it.

    python -m benchmarks.peers.broadcast_server KIND FILE CLIENTS BUFFER_BYTES

KIND is picows (a send of each message to each client, pausing while any socket is full), websockets
(its `broadcast`, pausing in the same way) or gather (an awaited send to each client at once, as
servers often do it). BUFFER_BYTES may wait for a client in this process. Prints its port; begins
when all clients are there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

#: Messages between two turns of the event loop.
_TURN: Final = 16


async def picows(payloads: Sequence[bytes], count: int, buffer_bytes: int) -> None:
    """A bare broadcast over picows."""
    from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    transports: list[WSTransport] = []
    full: set[int] = set()
    flows = asyncio.Event()
    flows.set()

    class Peer(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.underlying_transport.set_write_buffer_limits(high=buffer_bytes)
            transports.append(transport)

        def pause_writing(self) -> None:
            full.add(id(self))
            flows.clear()

        def resume_writing(self) -> None:
            full.discard(id(self))
            if not full:
                flows.set()

    def factory(request: WSUpgradeRequest) -> WSListener:
        return Peer()

    server = await ws_create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while len(transports) < count:
        await asyncio.sleep(0.01)
    for number, payload in enumerate(cycle(payloads)):
        for transport in transports:
            transport.send(WSMsgType.TEXT, payload)
        if number % _TURN == 0 or full:
            await flows.wait()
            await asyncio.sleep(0)


async def websockets(
    payloads: Sequence[bytes], count: int, buffer_bytes: int, *, gather: bool
) -> None:
    """`broadcast` of the package websockets, or an awaited `send` to all at once."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    texts = [payload.decode() for payload in payloads]
    connections: set[ServerConnection] = set()

    async def handler(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()
        connections.discard(connection)

    server = await serve(handler, "127.0.0.1", 0, compression=None, write_limit=buffer_bytes)
    print(next(iter(server.sockets)).getsockname()[1], flush=True)
    while len(connections) < count:
        await asyncio.sleep(0.01)
    for number, text in enumerate(cycle(texts)):
        if gather:
            await asyncio.gather(*(connection.send(text) for connection in connections))
            continue
        broadcast(connections, text)
        if number % _TURN == 0:
            while any(_buffered(connection) > buffer_bytes for connection in connections):
                await asyncio.sleep(0)
            await asyncio.sleep(0)


def _buffered(connection: Any) -> int:
    return int(connection.transport.get_write_buffer_size())


def main() -> None:
    """Serve until killed."""
    kind, file, count, buffer_bytes = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5])
    payloads = file.read_bytes().splitlines()
    if kind == "picows":
        asyncio.run(picows(payloads, count, buffer_bytes))
    else:
        asyncio.run(websockets(payloads, count, buffer_bytes, gather=kind == "gather"))


if __name__ == "__main__":
    main()
