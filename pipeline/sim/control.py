"""The control channel: actions as JSON lines, answers as JSON lines. Floor 4.

`{"action": "reset", "connection": 1}` is answered with `{"ok": true, ...}` or
`{"ok": false, "error": "..."}`. The channel is a Unix socket that only its owner may open, or a
connected socket that a parent process passed on. One line at a time; answers never block the
exchange: a peer that does not read them is cut off.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import PipelineError
from pipeline.core.local_socket import connect_local
from pipeline.sim.actions import parse_action
from pipeline.sim.exchange import Exchange
from pipeline.sim.perform import perform

_LINE_BYTES_MAX: Final = 1 << 20


class ControlPeer:
    """Somebody who commands the exchange; whoever watches the socket closes it once `gone`."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.gone = False
        self._buffer = b""

    def on_readable(self, exchange: Exchange, now_s: float) -> None:
        """Act on the lines that have arrived."""
        try:
            data = self.sock.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if line.strip():
                self._answer(answer(exchange, line, now_s))
        if not data or len(self._buffer) > _LINE_BYTES_MAX:
            self.gone = True

    def _answer(self, message: dict[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            self.gone = self.gone or self.sock.send(line) != len(line)
        except OSError:
            self.gone = True


def answer(exchange: Exchange, line: bytes, now_s: float) -> dict[str, Any]:
    """Do what one line says and return what to answer."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return {"ok": False, "error": "not a line of JSON"}
    if not isinstance(raw, dict):
        return {"ok": False, "error": "expected an object with an action"}
    action, problems = parse_action(raw, "command")
    if action is None:
        return {"ok": False, "error": "; ".join(str(problem) for problem in problems)}
    return {"ok": True, **perform(exchange, action, now_s=now_s)}


class ControlClient:
    """The other end, for whoever commands a simulator: blocking, one command at a time."""

    def __init__(self, target: Path | socket.socket, *, timeout_s: float = 5.0) -> None:
        if isinstance(target, socket.socket):
            self._sock = target
        else:
            self._sock = connect_local(target, timeout_s=timeout_s)
        self._sock.settimeout(timeout_s)
        self._buffer = b""

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def command(self, action: str, **parameters: object) -> dict[str, Any]:
        """Send one action and return its answer; raise PipelineError when it was refused."""
        line = json.dumps({"action": action, **parameters}).encode() + b"\n"
        self._sock.sendall(line)
        while b"\n" not in self._buffer:
            data = self._sock.recv(1 << 16)
            if not data:
                raise PipelineError("the simulator has closed its control channel")
            self._buffer += data
        reply, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(reply)
        if not message.get("ok"):
            raise PipelineError(f"the simulator refused {action}: {message.get('error')}")
        return message

    def close(self) -> None:
        """Close the channel."""
        self._sock.close()
