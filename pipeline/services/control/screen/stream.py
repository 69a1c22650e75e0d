"""`GET /screen/events`: the state again and again, as server-sent events. Floor 4.

A page that does not read is cut off by a write that takes too long; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.services.control.api.lasting import while_there, write
from pipeline.services.control.screen.screen import Screen
from pipeline.services.status.recent import INTERVAL_S

#: Pages that look at the same time.
PAGES_MAX: Final = 16
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]
_encode: Final = msgspec.json.Encoder().encode


class StateStream(Response):
    """Tells one page the state, or an owner's part of it, for as long as it `may_go_on`."""

    media_type = "text/event-stream"

    def __init__(self, screen: Screen, owner: str | None, may_go_on: Callable[[], bool]) -> None:
        super().__init__()
        self._screen = screen
        self._owner = owner
        self._may_go_on = may_go_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page."""
        self._screen.pages += 1
        try:
            await while_there(receive, self._tell(send))
        finally:
            self._screen.pages -= 1

    async def _tell(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        after = 0
        while self._may_go_on():
            document = await self._screen.document(after, self._owner)
            after = max((row["number"] for row in document["happenings"]), default=after)
            await write(send, b"data: " + _encode(document) + b"\n\n")
            await asyncio.sleep(INTERVAL_S)
        await write(send, b"event: expired\ndata: {}\n\n", more=False)
