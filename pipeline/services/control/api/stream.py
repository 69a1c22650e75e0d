"""`GET /events`: server-sent events to one listener. Floor 4.

A listener that does not read is cut off: by its full queue, or by a write that takes too long.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.services.control.api.lasting import while_there, write
from pipeline.services.control.events import Hub, Listener

#: A comment is sent after so long without an event.
QUIET_S: Final = 10.0
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
        try:
            await while_there(receive, self._tell(send))
        finally:
            self._hub.leave(self._listener)

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await write(send, b": listening\n\n")
        while not self._listener.lagged:
            events = await self._listener.take(QUIET_S)
            await write(send, events or b": quiet\n\n")
        await write(send, b"event: lagged\ndata: {}\n\n", more=False)
