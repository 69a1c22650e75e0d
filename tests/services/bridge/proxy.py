"""A SUB that binds and subscribes to everything, as OpenAlgo's proxy does."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import zmq

from tests.conftest import wait_until

DEADLINE_S = 30.0


class Proxy:
    """A context; `frames` are the messages as they came, each a list of two byte strings."""

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*", *, queue: int = 1000) -> None:
        self._context = zmq.Context()
        self._socket: Any = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.bind(endpoint)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.endpoint: str = self._socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        self.frames: list[list[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Be gone; more than once does no harm."""
        self._socket.close()
        self._context.term()

    def take(self) -> int:
        """Take over what has arrived; return how many there are now."""
        while self._socket.poll(0):
            self.frames.append(self._socket.recv_multipart())
        return len(self.frames)

    def wait_for(self, count: int) -> list[list[bytes]]:
        """Return the messages once there are so many."""
        wait_until(lambda: self.take() >= count, timeout_s=DEADLINE_S, what=f"{count} messages")
        return self.frames
