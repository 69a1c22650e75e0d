"""The control channel: actions as JSON lines, answers as JSON lines. Floor 4.

`{"action": "reset", "connection": 1}` is answered with `{"ok": true, ...}` or
`{"ok": false, "error": "..."}`. The channel is a Unix socket that only its owner may open, or a
connected socket that a parent process passed on. One line at a time; answers never block the
exchange: a peer that does not read them is cut off.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import PipelineError
from pipeline.sim.actions import parse_action
from pipeline.sim.exchange import Exchange
from pipeline.sim.perform import perform

_ADDRESS_BYTES_MAX: Final = 100
_LINE_BYTES_MAX: Final = 1 << 20


def listen_control(path: Path) -> socket.socket:
    """Bind the control socket, mode 0600; raise PipelineError if something is in the way."""
    if path.exists() and not path.is_socket():
        raise PipelineError(f"{path} exists and is no socket: choose another control path")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        with _address(path) as address:
            listener.bind(address)
    except OSError as error:
        listener.close()
        raise PipelineError(f"control socket {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(8)
    return listener


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield an address for a socket's path, which may be longer than addresses can be."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


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
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._sock.settimeout(timeout_s)
            try:
                with _address(target) as address:
                    self._sock.connect(address)
            except OSError:
                self._sock.close()
                raise
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
