"""The socket: who comes, who is cut off, and what is left when they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.control import (
    Answer,
    AnyRequest,
    Ask,
    Hello,
    Subscribe,
    read_answer,
    to_line,
)
from pipeline.services.control import server as module
from pipeline.services.control.router import Router
from pipeline.services.control.server import Server
from tests.services.control.owners import Realm, owners_config
from tests.services.control.test_commands import Desk

DEADLINE_S = 30.0


class Visitor:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, line: bytes) -> Answer | None:
        """Send a line and return the answer; None when cut off without one."""
        self.writer.write(line)
        async with asyncio.timeout(DEADLINE_S):
            answer = await self.reader.readline()
        return read_answer(answer) if answer else None

    async def ask(self, request: AnyRequest) -> Answer:
        answer = await self.say(to_line(request))
        assert answer is not None
        return answer

    async def is_cut_off(self) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read() == b""

    def leave(self) -> None:
        self.writer.close()


class House:
    """A server over a pool, and the way in."""

    def __init__(self, path: Path) -> None:
        self.desk = Desk(pool="instruments_per_connection = 10")
        self.changes = 0
        self.visitors: list[Visitor] = []
        router = Router({"default": self.desk.commands}, about={}, questions={})
        self.server = Server(router, self._note, reserved={"config"})
        self.path = path

    def _note(self) -> None:
        self.changes += 1

    async def visit(self, name: str = "", pid: int = 1) -> Visitor:
        visitor = Visitor(*await asyncio.open_unix_connection(str(self.path)))
        self.visitors.append(visitor)
        if name:
            assert (await visitor.ask(Hello(client=name, pid=pid))).problem is None
        return visitor

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def _house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "control.sock")
    await house.server.listen(house.path)
    try:
        yield house
    finally:
        await house.server.close()
        for visitor in house.visitors:
            visitor.writer.transport.abort()
        await asyncio.sleep(0)  # transports close in the loop's next round


def _run(tmp_path: Path, scene: Callable[[House], Awaitable[None]]) -> None:
    async def play() -> None:
        async with _house(tmp_path) as house:
            await scene(house)

    asyncio.run(play())


def test_a_demand_lives_as_long_as_its_connection_and_lingers(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        visitor = await house.visit("a")
        assert (await visitor.ask(Subscribe(instruments=[1]))).problem is None
        assert house.server.clients == 1 and house.changes == 2
        client = house.desk.ledger.clients["a"]
        assert client.gone_ns is None and client.pid == 1
        visitor.leave()
        await house.until(lambda: client.gone_ns is not None)
        assert 1 in house.desk.ledger.desired and house.server.clients == 0

    _run(tmp_path, scene)


def test_refusals_are_counted_and_end_nothing(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        visitor = await house.visit("a")
        answer = await visitor.ask(Subscribe(id=5, instruments=list(range(1, 99))))
        assert answer.id == 5 and answer.problem is not None
        assert (await visitor.ask(Ask(about="clients"))).problem is None
        assert (house.server.requests, house.server.refusals) == (3, 1)

    _run(tmp_path, scene)


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b"[" * 9999 + b"\n", b"\xff\n", b"\n"])
def test_who_speaks_nonsense_is_told_and_cut_off(tmp_path: Path, line: bytes) -> None:
    async def scene(house: House) -> None:
        for name in ("", "a"):
            visitor = await house.visit(name)
            answer = await visitor.say(line)
            assert answer is not None and answer.problem is not None
            assert answer.problem.code == "bad_request"
            assert await visitor.is_cut_off()
        assert (await (await house.visit("b")).ask(Ask(about="health"))).result == "well"

    _run(tmp_path, scene)


def test_the_first_line_says_who(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        for request in (Ask(about="health"), Hello(client="no blanks"), Hello(client="x" * 65)):
            visitor = await house.visit()
            answer = await visitor.ask(request)
            assert answer.problem is not None
            assert await visitor.is_cut_off()
        assert house.desk.ledger.clients.keys() == {"t"}

    _run(tmp_path, scene)


def test_a_name_is_one_process(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        first = await house.visit("a", pid=1)
        other = await house.visit()
        answer = await other.ask(Hello(client="a", pid=2))
        assert answer.problem is not None and answer.problem.code == "conflict"
        again = await house.visit("a", pid=1)  # which takes the place of its first connection
        assert await first.is_cut_off()
        assert (await again.ask(Ask(about="health"))).result == "well"
        await house.until(lambda: house.server.clients == 1)
        assert house.desk.ledger.clients["a"].gone_ns is None

    _run(tmp_path, scene)


def test_a_line_without_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_BYTES_MAX", 4096)

    async def scene(house: House) -> None:
        visitor = await house.visit("a")
        answer = await visitor.say(b"x" * 20_000)
        assert answer is not None and answer.problem is not None
        assert "more than 4096 bytes" in answer.problem.text

    _run(tmp_path, scene)


def test_who_says_nothing_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visit() -> None:
        async with _house(tmp_path) as house:
            known = await house.visit("t")
            monkeypatch.setattr(module, "HELLO_TIMEOUT_S", 0.05)
            silent, half = await house.visit(), await house.visit()
            half.writer.write(b'{"do": "hello", "cli')
            assert await silent.is_cut_off()
            assert await half.is_cut_off()
            assert (await known.ask(Ask(about="clients"))).problem is None  # says little, too
            assert house.server.clients == 1

    asyncio.run(visit())


def test_who_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)

    async def scene(house: House) -> None:
        house.desk.ask(Subscribe(instruments=list(range(1, 31))))
        house.desk.rig.turn()
        deaf = await house.visit("deaf")
        await deaf.ask(Subscribe(instruments=[1]))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        line = to_line(Ask(about="subscriptions"))
        for _ in range(5000):
            deaf.writer.write(line)
        await house.until(lambda: house.desk.ledger.clients["deaf"].gone_ns is not None)
        assert (await (await house.visit("b")).ask(Ask(about="health"))).result == "well"
        deaf.writer.transport.abort()

    _run(tmp_path, scene)


def test_what_a_deaf_client_has_not_read_keeps_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)

    async def scene(house: House) -> None:
        deaf = await house.visit("deaf")
        await deaf.ask(Subscribe(instruments=list(range(1, 11))))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(5000):
            deaf.writer.write(to_line(Ask(about="subscriptions")))
        await house.until(lambda: house.server.clients == 0)

        def nobody_listens() -> bool:
            deaf.writer.write(b" ")
            return deaf.writer.transport.is_closing()

        await house.until(nobody_listens)

    _run(tmp_path, scene)


def test_nobody_may_have_the_name_of_a_wish_of_ours(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        house.desk.ledger.join("config", durable=True)
        visitor = await house.visit()
        answer = await visitor.ask(Hello(client="config", durable=True))
        assert answer.problem is not None and answer.problem.code == "conflict"
        assert await visitor.is_cut_off()
        assert house.desk.ledger.clients["config"].durable

    _run(tmp_path, scene)


def test_a_wish_that_outlives_its_client_is_not_made_to_end(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        by_hand = await house.visit()
        await by_hand.ask(Hello(client="cli", durable=True))
        await by_hand.ask(Subscribe(instruments=[1]))
        by_hand.leave()
        await house.until(lambda: house.server.clients == 0)
        answer = await (await house.visit()).ask(Hello(client="cli"))
        assert answer.problem is not None and answer.problem.code == "conflict"
        assert house.desk.ledger.clients["cli"].durable

    _run(tmp_path, scene)


def test_nor_is_a_wish_that_is_only_a_part(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        house.desk.ledger.join("cli", durable=True)
        house.desk.ledger.attach("cli", "cli/full/window")
        answer = await (await house.visit()).ask(Hello(client="cli"))
        assert answer.problem is not None and answer.problem.code == "conflict"

    _run(tmp_path, scene)


def test_many_come_and_go_and_leave_nothing(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        for number in range(100):
            (await house.visit(f"c{number}")).leave()
        await house.until(lambda: house.server.clients == 0)
        house.desk.ledger.expire(2**62, 0)
        assert set(house.desk.ledger.clients) == {"t"}

    before = len(list(Path("/proc/self/fd").iterdir()))
    _run(tmp_path, scene)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class OwnersHouse(House):
    """A server over two owners' pools."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.realm = Realm(owners_config("instruments_per_connection = 10"))
        self.server = Server(self.realm.router, self._note, reserved={"config"})

    async def enter(self, name: str, owner: str | None, **more: Any) -> tuple[Visitor, Answer]:
        """Say hello for an owner."""
        visitor = await self.visit()
        return visitor, await visitor.ask(Hello(client=name, owner=owner, **more))


def _run_owners(tmp_path: Path, scene: Callable[[OwnersHouse], Awaitable[None]]) -> None:
    async def play() -> None:
        house = OwnersHouse(tmp_path / "control.sock")
        await house.server.listen(house.path)
        try:
            await scene(house)
        finally:
            await house.server.close()
            for visitor in house.visitors:
                visitor.writer.transport.abort()
            await asyncio.sleep(0)  # transports close in the loop's next round

    asyncio.run(play())


def test_a_client_of_an_owner_wants_for_him_alone(tmp_path: Path) -> None:
    async def scene(house: OwnersHouse) -> None:
        ledgers = {owner: pool.ledger for owner, pool in house.realm.pools.items()}
        alice, answer = await house.enter("t", "alice")
        assert answer.result["owner"] == "alice"
        bob, _ = await house.enter("t", "bob", pid=2)  # the same name, and another client
        assert (await alice.ask(Subscribe(instruments=[1]))).problem is None
        assert (await bob.ask(Subscribe(instruments=[1, 2]))).problem is None
        assert house.server.clients == 2
        assert ledgers["alice"].desired.keys() == {1} and ledgers["bob"].desired.keys() == {1, 2}
        alice.leave()
        await house.until(lambda: ledgers["alice"].clients["t"].gone_ns is not None)
        assert ledgers["bob"].clients["t"].gone_ns is None

    _run_owners(tmp_path, scene)


def test_who_names_no_owner_may_ask_and_not_want(tmp_path: Path) -> None:
    async def scene(house: OwnersHouse) -> None:
        visitor, answer = await house.enter("cli.7", None)
        assert answer.result["owner"] is None
        problem = (await visitor.ask(Subscribe(instruments=[1]))).problem
        assert problem is not None and "alice, bob" in problem.text
        assert (await visitor.ask(Ask(about="subscriptions"))).result == []
        assert not any(pool.ledger.clients for pool in house.realm.pools.values())
        stranger, answer = await house.enter("t", "carol")
        assert answer.problem is not None and "expected one of alice, bob" in answer.problem.text
        assert await stranger.is_cut_off()

    _run_owners(tmp_path, scene)
