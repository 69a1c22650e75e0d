"""A control process that serves HTTP, over an instance that has no other process."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.config import Config
from pipeline.core.control import Hello, to_line
from pipeline.core.local_socket import connect_local
from pipeline.services.control.api.token import token_path
from pipeline.services.control.process import run_control
from pipeline.supervisor.establish import listen_api
from tests.services.control.test_outside import Ground
from tests.supervisor.harness import wait_for

SECTION = "[api]\nport = 0\nchanges_per_s = 100000\n"
TIMEOUT_S = 30.0


class Reply(NamedTuple):
    """An answer: `body` is parsed if it is JSON, else text."""

    status: int
    body: Any
    headers: dict[str, str]


def call(
    port: int, method: str, path: str, *, token: str | None, body: Any = None, raw: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Reply:  # fmt: skip
    """Make one request; `body` is sent as JSON, `raw` as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    if body is not None:
        raw = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, path, raw or None, sent)
        response = connection.getresponse()
        content = response.read()
        kind = response.headers.get("content-type", "")
        found = json.loads(content) if kind.startswith("application/json") else content.decode()
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, found, names)
    finally:
        connection.close()


class Served:
    """The process, and how to ask it."""

    def __init__(self, folder: Path, more: str = SECTION, config: Config | None = None) -> None:
        self._before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # we supervise the instance
        self.ground = Ground(folder, more=more, config=config)
        listener = listen_api(self.ground.config)
        assert listener is not None
        self.listener = listener
        self.port: int = listener.getsockname()[1]
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=self._run)
        self.process.start()

    def _run(self) -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os._exit(run_control(self.ground.config, self.ground.paths, self.listener))

    def ready(self) -> Served:
        """Wait until it serves."""
        wait_for(lambda: self.get("/health", token=None).status != 503, "the API to serve")
        self.token = token_path(self.ground.paths).read_text().strip()
        return self

    def get(self, path: str, *, token: str | None = "", **options: Any) -> Reply:
        return self.call("GET", path, token=token, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return self.call("POST", path, body=body, **options)

    def call(self, method: str, path: str, *, token: str | None = "", **options: Any) -> Reply:
        """Ask; with the right token, unless another or None is given."""
        used = self.token if token == "" else token
        return call(self.port, method, path, token=used, **options)

    def subscribe(self, instruments: Any, client: str = "t", **options: Any) -> Reply:
        return self.post(
            "/subscriptions", {"client": client, "instruments": list(instruments), **options}
        )

    @contextmanager
    def ground_client(self, name: str) -> Iterator[None]:
        """Be connected to `control.sock` as a client of that name."""
        with connect_local(self.ground.paths.control_socket, timeout_s=TIMEOUT_S) as sock:
            sock.sendall(to_line(Hello(client=name)))
            assert sock.recv(65_536)
            yield

    def stop(self) -> int | None:
        """End it in good order; return its exit code."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.join(TIMEOUT_S)
        return self.process.exitcode

    def close(self) -> None:
        self.listener.close()
        self.process.kill()
        self.process.join()
        self.process.close()
        signal.signal(signal.SIGUSR1, self._before)
