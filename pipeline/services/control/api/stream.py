"""`GET /events`: server-sent events to one listener. Floor 4.

A listener that does not read is cut off: by its full queue, or by a write that takes too long.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.services.control.events import Hub, Listener

#: A comment is sent after so long without an event; a write takes at most so long.
QUIET_S: Final = 10.0
WRITE_S: Final = 5.0
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
]


class EventStream(Response):
    """Tells what a hub publishes until the listener goes or lags."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener) -> None:
        super().__init__()
        self._hub = hub
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the listener."""
        gone = asyncio.ensure_future(_until_gone(receive))
        tell = asyncio.ensure_future(self._tell(send))
        try:
            await asyncio.wait((gone, tell), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._listener)
            for task in (gone, tell):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._write(send, b": listening\n\n", more=True)
        while not self._listener.lagged:
            events = await self._listener.take(QUIET_S)
            await self._write(send, events or b": quiet\n\n", more=True)
        await self._write(send, b"event: lagged\ndata: {}\n\n", more=False)

    async def _write(self, send: Send, body: bytes, *, more: bool) -> None:
        async with asyncio.timeout(WRITE_S):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
