"""Sends frames of one size at an even pace, each with the time at which it is sent.

    python -m benchmarks.peers.paced_server BYTES FRAMES_PER_S COUNT

Prints its port and serves one client. It waits for each moment busily, because a timer would be
late by more than what is measured; a moment that was missed is not made up for by a burst. The
first eight bytes of a payload are the monotonic time just before the send, the rest is random.
"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time

from benchmarks.frame_server import accept_client, frame


def send_paced(sock: socket.socket, size: int, period_ns: int, count: int) -> None:
    """Send `count` frames, one each period, never two at once."""
    draw = random.Random(1)
    frames = [bytearray(frame(draw.randbytes(size))) for _ in range(64)]
    stamp_at = len(frames[0]) - size
    next_ns = time.monotonic_ns() + period_ns
    for number in range(count):
        while (now_ns := time.monotonic_ns()) < next_ns:
            pass
        next_ns = max(next_ns + period_ns, now_ns)
        sent = frames[number % len(frames)]
        sent[stamp_at : stamp_at + 8] = time.monotonic_ns().to_bytes(8, "little")
        sock.sendall(sent)


def main() -> None:
    """Serve one client, and wait until it has left."""
    size, rate, count = map(int, sys.argv[1:4])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        peer, _ = listener.accept()
    with peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accept_client(peer)
        send_paced(peer, size, 1_000_000_000 // rate, count)
        with contextlib.suppress(ConnectionResetError):  # some leave without a word
            while peer.recv(4096):
                pass


if __name__ == "__main__":
    main()
