"""A simulated exchange in a process of its own, and a plain client for it.

The client splits packets with `struct` and shares nothing with encoder or decoders.
"""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import websocket

from pipeline.sim.control import ControlClient

PATIENCE_S: Final = 40.0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9


class Packet(NamedTuple):
    """What a packet says, in wire units; `volume` is None where it has none."""

    size: int
    token: int
    last_price: int
    volume: int | None

    @property
    def carried(self) -> int:
        """The sequence it carries: the whole, or its low 12 bits."""
        return self.last_price & 0xFFF if self.volume is None else self.volume


def split(payload: bytes) -> list[Packet]:
    """Split a market-data message into packets."""
    (count,) = struct.unpack_from(">H", payload)
    packets, at = [], 2
    for _ in range(count):
        (size,) = struct.unpack_from(">H", payload, at)
        body = payload[at + 2 : at + 2 + size]
        token, last = struct.unpack_from(">II", body)
        volume = struct.unpack_from(">I", body, 16)[0] if size in (44, 184) else None
        packets.append(Packet(size, token, last, volume))
        at += 2 + size
    assert at == len(payload)
    return packets


class Client:
    """A WebSocket client that takes messages one by one."""

    def __init__(self, url: str, *, connection: int | None = None, **options: Any) -> None:
        header = [] if connection is None else [f"X-Pipeline-Connection: {connection}"]
        self.ws = websocket.create_connection(
            url, timeout=PATIENCE_S, header=header, enable_multithread=False, **options
        )
        self.texts: list[dict[str, Any]] = []
        self.heartbeats = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.ws.shutdown()

    def say(self, action: str, value: object) -> None:
        self.ws.send(json.dumps({"a": action, "v": value}))

    def subscribe(self, tokens: list[int], mode: str | None = None) -> None:
        self.say("subscribe", tokens)
        if mode is not None:
            self.say("mode", [mode, tokens])

    def message(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload; pings are answered by the library."""
        opcode, frame = self.ws.recv_data_frame(control_frame=True)
        return opcode, frame.data

    def frame(self) -> list[Packet]:
        """Return the next market-data frame; texts and heartbeats are kept aside."""
        while True:
            opcode, data = self.message()
            if opcode == TEXT:
                self.texts.append(json.loads(data))
            elif opcode == BINARY and len(data) == 1:
                self.heartbeats += 1
            elif opcode == BINARY:
                return split(data)
            elif opcode == CLOSE:
                raise ConnectionError("closed by the exchange")

    def packets(self, wanted: Callable[[list[Packet]], bool]) -> list[Packet]:
        """Collect packets until the predicate holds."""
        collected: list[Packet] = []
        deadline_s = time.monotonic() + PATIENCE_S
        while not wanted(collected):
            assert time.monotonic() < deadline_s, f"only {len(collected)} packets"
            collected += self.frame()
        return collected


class Simulator:
    """The running process, its port and its control channel."""

    def __init__(self, process: subprocess.Popen[str], port: int, control: Path) -> None:
        self.process = process
        self.port = port
        self.control = control

    def url(self, key: str = "demo", token: str | None = None) -> str:
        token = key if token is None else token
        return f"ws://127.0.0.1:{self.port}?api_key={key}&access_token={token}"

    def client(self, key: str = "demo", **options: Any) -> Client:
        return Client(self.url(key), **options)

    def command(self, action: str, **parameters: object) -> dict[str, Any]:
        with ControlClient(self.control, timeout_s=PATIENCE_S) as control:
            return control.command(action, **parameters)

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for `stat` until the condition holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            stat = self.command("stat")
            if condition(stat):
                return stat
            assert time.monotonic() < deadline_s, stat
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


@contextmanager
def simulator(folder: Path, *arguments: str) -> Iterator[Simulator]:
    """Start `python -m pipeline sim` on a free port; it must end by itself with code 0."""
    control = folder / "control"
    command = [sys.executable, "-m", "pipeline", "sim", "--control", str(control), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), line
            running = Simulator(process, int(line.rsplit(":", 1)[1]), control)
            yield running
            if process.poll() is None:
                assert running.stop() == 0
        finally:
            process.kill()
