"""A client of the control process that only speaks its lines; for tests of the pool itself."""

from __future__ import annotations

import os
from typing import Any, Self

from pipeline.core.control import AnyRequest, Hello, Subscribe, read_answer, to_line
from pipeline.core.local_socket import connect_local
from tests.system.rig import DEADLINE_S, Run, wait_for


class PoolClient:
    """One connection to `control.sock`, as long as a `with` block."""

    def __init__(self, run: Run, name: str) -> None:
        path = run.paths.control_socket
        self._sock = wait_for(lambda: self._connect(path), "the control process to listen")
        self._lines = self._sock.makefile("rb")
        self.ask(Hello(client=name, pid=os.getpid()))

    @staticmethod
    def _connect(path: Any) -> Any:
        try:
            return connect_local(path, timeout_s=DEADLINE_S)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lines.close()
        self._sock.close()

    def ask(self, request: AnyRequest) -> Any:
        """Return the answer's result; fail if it was refused."""
        self.send(to_line(request))
        answer = read_answer(self.line())
        assert answer.problem is None, answer.problem
        return answer.result

    def send(self, line: bytes) -> None:
        self._sock.sendall(line)

    def line(self) -> bytes:
        return self._lines.readline()

    def subscribe(self, tokens: Any, mode: str = "full", **options: Any) -> Any:
        return self.ask(Subscribe(instruments=list(tokens), mode=mode, **options))
