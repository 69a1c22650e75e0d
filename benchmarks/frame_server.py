"""The sending process of bench_websocket.py: binary frames as fast as the client takes them.

python -m benchmarks.frame_server BYTES [CERTIFICATE]

Prints its port, answers each opening handshake and sends until the client is gone. Two megabytes
of frames with different payloads are sent again and again: nobody looks into them. With a
certificate (and its key in the same file) over TLS, in pieces of 64 kB: full records.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import socket
import ssl
import sys
from typing import Final

BLOCK_BYTES: Final = 2 << 20
TLS_PIECE_BYTES: Final = 64 << 10
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


def frame(payload: bytes) -> bytes:
    """Return one unmasked, unfragmented binary frame."""
    size = len(payload)
    if size < 126:
        return bytes([0x82, size]) + payload
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload


def accept_client(sock: socket.socket) -> None:
    """Read the opening handshake and answer it."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = sock.recv(4096)
        if not received:
            raise ConnectionError("the client left before its handshake was complete")
        request += received
    found = re.search(rb"(?i)sec-websocket-key:\s*(\S+)", request)
    if found is None:
        raise ConnectionError("an opening handshake without a key")
    accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _send(sock: socket.socket, pieces: list[bytes]) -> None:
    while True:
        for piece in pieces:
            sock.sendall(piece)


def _serve(sock: socket.socket, context: ssl.SSLContext | None, block: bytes) -> None:
    step = TLS_PIECE_BYTES if context else len(block)
    pieces = [block[at : at + step] for at in range(0, len(block), step)]
    try:
        with context.wrap_socket(sock, server_side=True) if context else sock as peer:
            accept_client(peer)
            _send(peer, pieces)
    except OSError:
        return  # the client has what it wanted


def main() -> None:
    """Serve one client after the other until killed."""
    size = int(sys.argv[1])
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
    draw = random.Random(1)
    block = b"".join(frame(draw.randbytes(size)) for _ in range(max(1, BLOCK_BYTES // size)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            _serve(listener.accept()[0], context, block)


if __name__ == "__main__":
    main()
