"""The HTTP server in the control process's event loop. Floor 4.

FastAPI takes most of a second to import: that is done in a thread, after the pool has turned, and
whoever asks meanwhile is told 503. Nothing that goes wrong here ends the pool.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.core.clock import real_ns
from pipeline.core.extras import import_extra
from pipeline.core.logs import tell_terminal
from pipeline.services.control.api.session import TICKET_S

if TYPE_CHECKING:
    from pipeline.services.control.front import Front

#: Requests under way at the end have so long.
END_S: Final = 1

_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Where a browser comes in, once, and for how long that is good. It is a secret."""

    url: str
    expires_in_s: int


class Host:
    """Serves a front on a listening socket, whose address is `url`, from `start` to `close`."""

    def __init__(self, front: Front, listener: socket.socket, url: str) -> None:
        self._url = url
        self._front = front
        self._listener = listener
        self._guard: Any = None
        self._server: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._go(self._serve())

    def address(self, account: str = "") -> Address:
        """Return an address with a fresh ticket, behind a `#`: it is sent to no server."""
        ticket = self._front.sessions.issue_ticket(real_ns(), account)
        return Address(f"{self._url}/#ticket={ticket}", TICKET_S)

    async def close(self) -> None:
        """End: nobody is let in any more, and requests under way have a second."""
        if self._guard is not None:
            self._guard.close("The control process is ending")
        if self._server is None:
            for task in self._tasks:
                task.cancel()
        else:
            self._server.should_exit = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * END_S)
        self._listener.close()

    def _go(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the HTTP API is not served: %s", error, exc_info=error)

    async def _serve(self) -> None:
        serving = await asyncio.to_thread(_load_server)
        self._guard, self._server = serving.make_server(self._front, end_s=END_S)
        self._go(self._open())
        await self._server.serve(sockets=[self._listener])

    async def _open(self) -> None:
        """Let requests in, once there is something to serve them."""
        app = await asyncio.to_thread(_load_app)
        self._guard.open(app.build_app(self._front))
        path = self._front.paths.secrets / "api-token"
        _log.info(
            f"HTTP API: {self._url}, its bearer token is in {path}; `python -m pipeline screen "
            f"{self._front.paths.name}` prints an address for a browser"
        )
        # To a person who looks on, and to nothing that keeps it.
        tell_terminal(f"screen: {self.address().url} (good once, for {TICKET_S // 60} minutes)")


def _load_server() -> Any:
    """Import what answers at all."""
    import_extra("uvicorn", needed_by="[api]")
    import pipeline.services.control.api.serving as serving

    return serving


def _load_app() -> Any:
    """Import what is large."""
    import_extra("prometheus_client", needed_by="[api]")
    import_extra("fastapi", needed_by="[api]")
    import pipeline.services.control.api.app as app

    return app
