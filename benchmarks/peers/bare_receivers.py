"""Processes that receive and do no more, one for each connection: what the machine asks for that.

    python -m benchmarks.peers.bare_receivers CONNECTIONS BYTES PER_S

Frames of BYTES go round over the connections at an even pace, PER_S in all. Each receiver is a C
loop of poll and recv in a process of its own. Nothing of ours: no WebSocket, no ring, no decoder.
A line on the input, two numbers, asks for a turn of so many seconds after a lead of so many that
does not count; the answer is a line of JSON, frames and the receivers' CPU. Between turns they are
stopped.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from typing import Final

import numpy as np

from benchmarks.window import cpu_s
from ext.bench import receive_bare
from ext.process import die_with_parent

#: More than any scenario sends; the array for them takes memory as it is filled.
_FRAMES_MAX: Final = 1 << 22
_ARRIVE_S: Final = 0.02


def receive(address: tuple[str, int], size: int) -> None:
    """Take frames until there are no more."""
    die_with_parent(signal.SIGKILL)
    late_ns = np.zeros(_FRAMES_MAX, np.int64)  # of no meaning here
    with socket.create_connection(address) as sock, suppress(EOFError):
        receive_bare(sock.fileno(), late_ns, frame_bytes=size)


class Receivers:
    """As many as there are sockets, and who sends to them."""

    def __init__(
        self, processes: list[BaseProcess], socks: list[socket.socket], size: int, rate: float
    ) -> None:
        self._pids = [process.pid for process in processes if process.pid]
        self._socks = socks
        self._frame = bytes(size)
        self._rate = rate
        self._turn = 0
        self._signal(signal.SIGSTOP)

    def take(self, lead_s: float, seconds: float) -> dict[str, float]:
        """Let them go on for a turn; return its frames and CPU in s."""
        self._signal(signal.SIGCONT)
        self._send(lead_s)
        taken_s = self._cpu_s()
        frames = self._send(seconds)
        taken_s = self._cpu_s() - taken_s
        self._signal(signal.SIGSTOP)
        return {"frames": frames, "cpu_s": taken_s}

    def _send(self, seconds: float) -> int:
        """Send each frame to the next one, none before its time; all have arrived on return."""
        began_s, count = time.monotonic(), max(1, int(self._rate * seconds))
        for number in range(count):
            time.sleep(max(0.0, began_s + number / self._rate - time.monotonic()))
            self._turn = (self._turn + 1) % len(self._socks)
            self._socks[self._turn].sendall(self._frame)
        time.sleep(_ARRIVE_S)
        return count

    def _cpu_s(self) -> float:
        return sum(map(cpu_s, self._pids))

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            os.kill(pid, number)


def main() -> None:
    """Answer until there are no more questions."""
    connections, size, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    context = multiprocessing.get_context("fork")
    processes: list[BaseProcess] = []
    socks = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(connections):
            line = (listener.getsockname(), size)
            processes.append(context.Process(target=receive, args=line, daemon=True))
            processes[-1].start()
            socks.append(listener.accept()[0])
            socks[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        receivers = Receivers(processes, socks, size, rate)
        print("ready", flush=True)
        for question in sys.stdin:
            lead_s, seconds = map(float, question.split())
            print(json.dumps(receivers.take(lead_s, seconds)), flush=True)
    finally:
        for process in processes:
            process.kill()  # it may be stopped
            process.join()


if __name__ == "__main__":
    main()
