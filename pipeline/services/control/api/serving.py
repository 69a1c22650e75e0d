"""uvicorn, set up to live in a loop that is not its own. Floor 4."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import uvicorn

from pipeline.services.control.api.guard import Guard
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.token import own_token
from pipeline.services.control.front import Front

#: Requests at a time; more are told 503.
CONCURRENCY: Final = 100


class Server(uvicorn.Server):
    """A server that leaves signals to the control process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(front: Front, *, end_s: int) -> tuple[Guard, Server]:
    """Return a guard that lets nobody in yet, and a server of it, to be given its socket."""
    settings = front.config.api
    assert settings is not None
    guard = Guard(
        own_token(front.paths), settings.changes_per_s, sessions=front.sessions,
        origins=Origins([settings.host, *settings.hosts]), part_of=front.part_of,
    )  # fmt: skip
    config = uvicorn.Config(
        guard,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=CONCURRENCY,
        timeout_graceful_shutdown=end_s,
        proxy_headers=False,
    )
    return guard, Server(config)
