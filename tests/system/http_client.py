"""A caller of the control process's HTTP API; for tests of a whole run."""

from __future__ import annotations

import re
from typing import Any

from pipeline.services.control.api.token import token_path
from tests.services.control.api.served import Reply, call
from tests.system.rig import Run, wait_for

API = "[api]\nport = 0\nchanges_per_s = 1000\n"
_ADDRESS = re.compile(rb"HTTP API: http://127\.0\.0\.1:(\d+)")


class HttpClient:
    """Knows a run's port and token."""

    def __init__(self, run: Run) -> None:
        found = wait_for(lambda: _ADDRESS.findall(run.log.read_bytes()), "the API to serve")
        self.port = int(found[-1])
        self.token = token_path(run.paths).read_text().strip()

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        """Ask with the token."""
        return call(self.port, method, path, token=self.token, body=body)

    def get(self, path: str) -> Any:
        """Return a document; fail unless there is one."""
        reply = self.call("GET", path)
        assert reply.status == 200, reply
        return reply.body

    def stats(self, account: str = "") -> Any:
        path = "/advanced/websocket-pool/stats"
        return self.get(f"{path}/{account}" if account else path)

    def subscribe(self, tokens: Any, client: str = "http", **options: Any) -> Reply:
        body = {"client": client, "instruments": list(tokens), "mode": "full", **options}
        return self.call("POST", "/subscriptions", body)
