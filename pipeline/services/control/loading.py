"""What takes long for the control process is done in a thread, beside the loop that turns. Floor 4.

The instrument list takes a second or two to load: a request with a name in it waits for that, and
everybody else goes on. The homes file may be held up by another process. Used from the loop alone;
each thing is done by one thread at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain

from pipeline.core.control import AnyRequest, Declare, Instrument, SetMode, Subscribe, Unsubscribe
from pipeline.services.control.names import Names

#: Waited for before a request is answered.
Ready = Callable[[AnyRequest], Awaitable[None]]


async def at_once(request: AnyRequest) -> None:
    """Wait for nothing."""


class Aside:
    """One piece of work that is done in a thread, now and then, and never twice at once."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], None]) -> asyncio.Task[None]:
        """Do it, unless it is being done; return the task that ends with it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(asyncio.to_thread(work))
        return self._task

    async def end(self) -> None:
        """Wait for what is being done, however it ends."""
        if self._task is not None:
            await asyncio.wait([self._task])


class NameLoading:
    """Keeps the instrument list up to date, for whoever asks for a name."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._aside = Aside()

    async def ready(self, request: AnyRequest) -> None:
        """Wait until a request can be answered without loading anything."""
        if self._names.is_stale and _has_name(request):
            # Whoever asks may go away; the list is not loaded for him alone.
            await asyncio.shield(self._aside.begin(self._names.load))

    def follow(self) -> None:
        """Begin to load a list that has taken the place of the one in use."""
        if self._names.is_used and self._names.is_stale:
            self._aside.begin(self._names.load)

    async def end(self) -> None:
        """Wait for a list that is being loaded."""
        await self._aside.end()


def _has_name(request: AnyRequest) -> bool:
    instruments: Iterable[Instrument]
    match request:
        case Declare():
            instruments = chain(*request.wants.values(), *request.follow.values())
        case Subscribe() | SetMode() | Unsubscribe():
            instruments = request.instruments
        case _:
            return False
    return any(isinstance(i, str) and not i.isdecimal() for i in instruments)
