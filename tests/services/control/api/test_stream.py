"""Listeners that read, that do not, and that go."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.services.control.api import lasting, stream
from pipeline.services.control.api.guard import Message
from pipeline.services.control.api.stream import EventStream
from pipeline.services.control.events import QUEUE_MAX, Hub

SCOPE = {"type": "http"}


class Caller:
    """The other side of one answer."""

    def __init__(self, *, reads: bool = True) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self._reads = reads

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self._reads and message.get("body"):
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


async def _listen(hub: Hub, caller: Caller) -> asyncio.Task[None]:
    listener = hub.join()
    assert listener is not None
    answer = EventStream(hub, listener)
    task = asyncio.ensure_future(answer(SCOPE, caller.receive, caller.send))
    await asyncio.sleep(0)
    return task


def test_what_is_published_is_sent_until_the_caller_goes() -> None:
    async def run() -> bytes:
        hub, caller = Hub(), Caller()
        task = await _listen(hub, caller)
        hub.publish("state", {"state": "LIVE"})
        while b"LIVE" not in caller.body:
            await asyncio.sleep(0.001)
        caller.gone.set()
        await task
        assert hub.listeners == 0
        return caller.body

    assert b'event: state\ndata: {"state":"LIVE"}' in asyncio.run(run())


def test_one_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "WRITE_S", 0.01)

    async def run() -> None:
        hub = Hub()
        await (await _listen(hub, Caller(reads=False)))
        assert hub.listeners == 0

    asyncio.run(run())


def test_one_that_reads_too_slowly_is_told_so_and_let_go() -> None:
    async def run() -> bytes:
        hub, caller = Hub(), Caller()
        listener = hub.join()
        assert listener is not None
        for _ in range(QUEUE_MAX + 1):
            hub.publish("state", {})
        await EventStream(hub, listener)(SCOPE, caller.receive, caller.send)
        assert not caller.sent[-1]["more_body"]
        return caller.body

    assert asyncio.run(run()).endswith(b"event: lagged\ndata: {}\n\n")


def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "QUIET_S", 0.001)

    async def run() -> None:
        caller = Caller()
        task = await _listen(Hub(), caller)
        while b": quiet" not in caller.body:
            await asyncio.sleep(0.001)
        caller.gone.set()
        await task

    asyncio.run(run())
