"""Processes that receive and do no more, one for each connection: what the machine asks for that.

    python -m benchmarks.peers.bare_receivers CONNECTIONS BYTES PER_S SECONDS

Frames of BYTES go round over the connections at an even pace, PER_S in all. Each receiver is a C
loop of poll and recv in a process of its own. Nothing of ours: no WebSocket, no ring, no decoder.
Prints the CPU of one frame in us as JSON; the first quarter does not count.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection

import numpy as np

from ext.bench import receive_bare
from ext.process import die_with_parent


def receive(address: tuple[str, int], size: int, count: int, result: Connection) -> None:
    """Take `count` frames; tell the CPU in s of all but the first quarter."""
    die_with_parent(signal.SIGKILL)
    with socket.create_connection(address) as sock:
        late_ns = np.zeros(count, np.int64)  # of no meaning here
        cpu_ns = receive_bare(sock.fileno(), late_ns, frame_bytes=size, skipped=count // 4)
        result.send(cpu_ns / 1e9)


def send(socks: list[socket.socket], size: int, rate: float, count: int) -> None:
    """Send `count` frames over each, in turn, none before its time."""
    frame = bytes(size)
    began_s = time.monotonic()
    for number in range(count * len(socks)):
        time.sleep(max(0.0, began_s + number / rate - time.monotonic()))
        socks[number % len(socks)].sendall(frame)


def main() -> None:
    """Measure one number of connections."""
    connections, size, rate, seconds = (float(word) for word in sys.argv[1:])
    count = max(8, int(rate * seconds / connections))
    context = multiprocessing.get_context("fork")
    receivers, socks, results = [], [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(int(connections)):
            here, there = context.Pipe(duplex=False)
            line = (listener.getsockname(), int(size), count, there)
            receivers.append(context.Process(target=receive, args=line))
            receivers[-1].start()
            there.close()
            results.append(here)
            socks.append(listener.accept()[0])
            socks[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    send(socks, int(size), rate, count)
    cpu_s = sum(result.recv() for result in results)
    for receiver in receivers:
        receiver.join()
    for sock in socks:
        sock.close()
    for result in results:
        result.close()
    counted = (count - count // 4) * len(receivers)
    print(json.dumps({"cpu": cpu_s / counted * 1e6}))


if __name__ == "__main__":
    main()
