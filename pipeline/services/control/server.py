"""`control.sock`: clients come, say what they want, and go. Floor 4.

One line of JSON is one request; answers come in the same order. A client that sends what is no
request is told so and cut off; one that does not read its answers is cut off, too: nobody may keep
the pool waiting. Only the instance's user can open the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.core.clock import monotonic_ns
from pipeline.core.control import (
    LINE_BYTES_MAX,
    Answer,
    AnyRequest,
    Hello,
    Problem,
    read_request,
    to_line,
)
from pipeline.core.local_socket import listen_local
from pipeline.services.control.loading import Ready, at_once
from pipeline.services.control.router import Router

CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
ANSWER_TIMEOUT_S: Final = 5.0
#: Who has connected says who it is within so long.
HELLO_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 64

_log = logging.getLogger(__name__)


class Caller(NamedTuple):
    """Who is connected: a client of that name, and whose; None: of who may see everything."""

    owner: str | None
    name: str


class Server:
    """Serves the socket until `close`; `changed` is called after each request that was done.

    `reserved`: names in the ledgers that nobody who connects may have. `ready` is waited for
    before a request is answered.
    """

    def __init__(
        self, router: Router, changed: Callable[[], None], *, reserved: Container[str] = (),
        ready: Ready = at_once,
    ) -> None:  # fmt: skip
        self.requests = 0
        self.refusals = 0
        self._router = router
        self._changed = changed
        self._reserved = reserved
        self._ready = ready
        self._server: asyncio.Server | None = None
        self._connected: dict[Caller, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, path: Path) -> None:
        """Start to listen; raises PipelineError."""
        listener = listen_local(path, backlog=_BACKLOG)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=LINE_BYTES_MAX
        )

    async def close(self) -> None:
        """Cut everybody off and end."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connected)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        caller = None
        try:
            caller = await self._welcome(reader, writer)
            while caller and (request := await self._read(reader, writer)) is not None:
                await self._ready(request)
                if self._connected.get(caller) is not writer:
                    break  # it has opened another connection, and this one said it before
                await self._serve(caller, request, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # gone, told to go, or deaf: nobody waits for what is unread
        finally:
            self._tasks.discard(task)
            if caller and self._connected.get(caller) is writer:
                del self._connected[caller]
                self._router.ledger(caller.owner).leave(caller.name, monotonic_ns())
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _welcome(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Caller | None:
        """Return who it is once it has said so; None when it cannot be served."""
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            request = await self._read(reader, writer)
        if request is None:
            return None
        problem = self._problem_with(request)
        if problem is not None:
            await self._send(writer, Answer(id=request.id, problem=problem))
            return None
        assert isinstance(request, Hello)
        caller = Caller(self._router.whose(request.owner), request.client)
        before = self._connected.pop(caller, None)
        if before is not None:
            before.close()  # the same process, which has opened another connection
        ledger = self._router.ledger(caller.owner)
        ledger.join(request.client, pid=request.pid, durable=request.durable)
        self._connected[caller] = writer
        await self._serve(caller, request, writer)
        return caller

    def _problem_with(self, request: AnyRequest) -> Problem | None:
        if not isinstance(request, Hello):
            return Problem(code="bad_request", text='the first line has to be "hello"')
        if not CLIENT_NAME.fullmatch(request.client):
            text = f"client {request.client[:70]!r}: expected 1 to 64 letters, digits, or _ . : -"
            return Problem(code="bad_request", text=text)
        if (problem := self._router.problem_with(request.owner)) is not None:
            return problem
        client = self._router.ledger(request.owner).clients.get(request.client)
        if request.client in self._reserved:
            text = f"client {request.client!r} is the control process's own name: take another"
            return Problem(code="conflict", text=text)
        if client and client.durable and not (client.is_idle or request.durable):
            text = f"client {request.client!r} has wishes that outlive it: take another name"
            return Problem(code="conflict", text=text)
        is_connected = Caller(self._router.whose(request.owner), request.client) in self._connected
        if client is not None and is_connected and client.pid != request.pid:
            text = f"client {request.client!r} is connected as process {client.pid}: take another"
            return Problem(code="conflict", text=text)
        return None

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AnyRequest | None:
        """Return the next request; None at the end, or after telling what is wrong with it."""
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            text = f"a line of more than {LINE_BYTES_MAX} bytes"
            await self._send(writer, Answer(problem=Problem(code="bad_request", text=text)))
            return None
        try:
            return read_request(line)
        except (ValueError, RecursionError) as error:
            problem = Problem(code="bad_request", text=f"not a request: {str(error)[:200]}")
            await self._send(writer, Answer(problem=problem))
            return None

    async def _serve(
        self, caller: Caller, request: AnyRequest, writer: asyncio.StreamWriter
    ) -> None:
        answer = self._router.answer(caller.name, request, caller.owner)
        self.requests += 1
        self.refusals += answer.problem is not None
        self._changed()
        await self._send(writer, answer)

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer) -> None:
        writer.write(to_line(answer))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await writer.drain()
