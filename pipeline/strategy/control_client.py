"""One client's connection to the control process: a request, then its answer. Floor 3.

Blocking, one request at a time, each with a deadline. It never carries market data: whatever
happens here, ticks flow on. A connection does not survive a fork, and a forked child holds none of
its parent's open, so that the control process sees the parent's end.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import Any, Final

from pipeline.core.control import (
    LINE_BYTES_MAX,
    Answer,
    AnyRequest,
    Ask,
    Hello,
    Problem,
    read_answer,
    to_line,
)
from pipeline.core.errors import (
    CapacityError,
    ControlError,
    ControlUnavailable,
    RequestRefused,
    UnknownInstruments,
)
from pipeline.core.local_socket import connect_local

TIMEOUT_S: Final = 10.0

_CHUNK_BYTES: Final = 1 << 16
#: What a poll tells of without being asked is enough where there is no POLLRDHUP.
_PEER_GONE: Final[int] = getattr(select, "POLLRDHUP", 0)


class ControlClient:
    """A connection to `control.sock` that has said hello; close it, or use it with `with`.

    client: what this client is called in the control process's lists.
    durable: what it wants outlives it, as what a person typed should.
    owner: whose connections its requests are about; without one those of all owners, as far as
      that makes sense.
    timeout_s: how long to wait for the connection, and for each answer.

    Raises ControlUnavailable when nobody listens or answers.
    """

    def __init__(
        self, path: Path, *, client: str, durable: bool = False, timeout_s: float = TIMEOUT_S,
        owner: str | None = None,
    ) -> None:  # fmt: skip
        self.timeout_s = timeout_s
        self._path = path
        self._received = bytearray()
        self._ids = itertools.count(1)
        self._turn = threading.Lock()
        try:
            self._sock = connect_local(path, timeout_s=timeout_s)
        except OSError as error:
            raise ControlUnavailable(
                f"the control process does not listen on {path} ({_why(error)}): it may be "
                "starting, so try again; what is streamed goes on"
            ) from error
        _open.add(self)
        self._hello = Hello(client=client, pid=os.getpid(), durable=durable, owner=owner)

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hello(self) -> dict[str, Any]:
        """Say who this is, first of all; return the instance's name and the process's pid."""
        found: dict[str, Any] = self.request(self._hello)
        return found

    def ask(self, about: str, *, account: str | None = None) -> Any:
        """Return a document: stats, health, clients, subscriptions or accounts."""
        return self.request(Ask(about=about, account=account))

    def request(self, request: AnyRequest) -> Any:
        """Return the result of a request.

        Raises what the control process answered: CapacityError with the numbers,
        UnknownInstruments with near matches, RequestRefused; nothing has changed then. Raises
        ControlUnavailable, and is of no more use, when no answer comes: it may have been done.
        """
        deadline = time.monotonic() + self.timeout_s
        with self._turn:
            request.id = next(self._ids)
            try:
                answer = self._exchange(to_line(request), deadline)
            except (OSError, ValueError) as error:
                self.shut()  # an answer that comes later would be taken for the next one's
                raise ControlUnavailable(
                    f"no answer from the control process on {self._path} ({_why(error)}): "
                    "try again; what is streamed goes on"
                ) from error
        if answer.problem is not None:
            raise error_of(answer.problem)
        return answer.result

    def _exchange(self, line: bytes, deadline: float) -> Answer:
        self._sock.settimeout(_left(deadline))
        self._sock.sendall(line)
        return read_answer(self._read_line(deadline))

    def _read_line(self, deadline: float) -> bytes:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > LINE_BYTES_MAX:
                raise ValueError(f"more than {LINE_BYTES_MAX} bytes in a line")
            self._sock.settimeout(_left(deadline))
            chunk = self._sock.recv(_CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError(0, "it has ended")
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait for the control process's end, or for `shut`; return whether that was it."""
        poll = select.poll()
        poll.register(self._sock, _PEER_GONE)
        return bool(poll.poll(timeout_s * 1000))

    def shut(self) -> None:
        """End whatever waits for this connection, in any thread; `close` it all the same."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself

    def close(self) -> None:
        """Close the connection; what this client wants lives on for the grace."""
        _open.discard(self)
        self._sock.close()


def error_of(problem: Problem) -> ControlError | CapacityError | UnknownInstruments:
    """Return the error that says what the control process answered."""
    detail = problem.detail
    if problem.code == "capacity":
        numbers = {name: detail.get(name, 0) for name in ("requested", "accepted", "available")}
        return CapacityError(problem.text, **numbers)
    if problem.code == "unknown_instrument":
        return UnknownInstruments(problem.text, detail.get("unknown", {}))
    if problem.code == "unavailable":
        return ControlUnavailable(problem.text)
    return RequestRefused(problem.text, code=problem.code, detail=detail)


def _left(deadline: float) -> float:
    """Return what is left of the time; a socket's timeout of 0 would mean something else."""
    return max(deadline - time.monotonic(), 1e-6)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


#: All that are open, for a forked child to let go of.
_open: weakref.WeakSet[ControlClient] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for client in list(_open):
        client._sock.close()


os.register_at_fork(after_in_child=_let_go_after_fork)
