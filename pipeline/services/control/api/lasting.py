"""Answers that last: sent in parts, for as long as somebody reads them. Floor 4.

Whoever goes ends his answer, and so does one who takes nothing for some seconds: nobody waits for
either, and neither keeps anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Final

from starlette.types import Receive, Send

#: A write takes at most so long.
WRITE_S: Final = 5.0


async def while_there(receive: Receive, answer: Awaitable[None]) -> None:
    """Do an answer until it is done, or until the caller has gone or reads no more."""
    tasks = (asyncio.ensure_future(_until_gone(receive)), asyncio.ensure_future(answer))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError, OSError):
                await task


async def write(send: Send, body: bytes, *, more: bool = True) -> None:
    """Send a part; TimeoutError when it is not taken."""
    async with asyncio.timeout(WRITE_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
