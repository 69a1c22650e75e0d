"""The one thread in which an asynchronous reader waits. Floor 3.

It only waits, at most 100 ms at a time: ticks are taken in the event loop's own thread. So a
consumer that is cancelled loses nothing, and what it leaves behind ends by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple


class _Job(NamedTuple):
    wait: Callable[[], int]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[int]


class Helper:
    """A daemon thread that runs one wait after another."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def wait(self, wait: Callable[[], int]) -> int:
        """Run `wait` in the thread and return its result; cancelling leaves it to end alone."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._idle.clear()
        self._jobs.put(_Job(wait, loop, future))
        return await future

    async def settle(self) -> None:
        """Wait until nothing runs in the thread that a cancelled consumer has left."""
        while not self._idle.is_set():
            await asyncio.sleep(0.001)

    def join(self) -> None:
        """Block until nothing runs in the thread."""
        self._idle.wait()

    def close(self) -> None:
        """End the thread, after the wait that is under way."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            found, error = 0, None
            try:
                found = job.wait()
            except RuntimeError as caught:
                error = caught
            self._idle.set()
            try:
                job.loop.call_soon_threadsafe(_finish, job.future, found, error)
            except RuntimeError:
                continue  # that event loop is closed: nobody waits for this result


def _finish(future: asyncio.Future[int], found: int, error: RuntimeError | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(found)
