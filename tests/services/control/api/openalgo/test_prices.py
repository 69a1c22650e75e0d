"""Newest ticks by owner; what is not streamed is wanted for a while, and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.control import Answer, AnyRequest, Problem, Subscribe, Unsubscribe
from pipeline.core.enums import Mode
from pipeline.services.control.api.openalgo.prices import Prices
from tests.services.control.api.openalgo.house import tick_of
from tests.strategy.writer import FakeInstance

FIRST, SECOND = 408065, 256265
#: What the fake instance's second connection has: the same instruments, other numbers.
OTHERS = FIRST + 100_000


class Pool:
    """Takes what is asked of it, but for some."""

    def __init__(self, refused: tuple[int, ...] = (), problem: str = "") -> None:
        self.asked: list[tuple[str, AnyRequest]] = []
        self.refused = refused
        self.problem = problem

    def __call__(self, owner: str, request: AnyRequest) -> Answer:
        self.asked.append((owner, request))
        if self.problem:
            return Answer(problem=Problem(code="unavailable", text=self.problem))
        rows = [{"instrument": token, "text": "no room"} for token in self.refused]
        return Answer(result={"refused": rows})

    def flat(self, kind: type[Subscribe] | type[Unsubscribe]) -> list[Any]:
        return sorted(token for row in self.tokens(kind) for token in row)

    def tokens(self, kind: type[Subscribe] | type[Unsubscribe]) -> list[list[Any]]:
        return [r.instruments for _, r in self.asked if isinstance(r, kind)]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[FakeInstance]:
    """Alice's connection 0, and Bob's connection 1."""
    made = FakeInstance("demo", tmp_path, connections=2, owners=("alice", "bob"))
    made.write_latest(0, tick_of(FIRST))
    made.write_latest(1, tick_of(SECOND, mode=Mode.QUOTE))
    made.write_latest(2, tick_of(OTHERS, last_price=1.0, connection=1))
    yield made
    made.end()


def test_an_owner_has_the_ticks_of_his_connections_alone(instance: FakeInstance) -> None:
    prices = Prices(instance.paths, Pool())
    assert prices.newest("alice", [FIRST, OTHERS])["mode"].tolist() == [Mode.FULL, 0]
    assert prices.newest("bob", [FIRST, OTHERS])["mode"].tolist() == [0, Mode.FULL]
    assert prices.newest("nobody", [FIRST, OTHERS])["mode"].tolist() == [0, 0]


def test_what_is_streamed_in_full_is_not_asked_for(instance: FakeInstance) -> None:
    pool = Pool()
    found = asyncio.run(Prices(instance.paths, pool).read("alice", [FIRST, FIRST]))
    assert found.ticks["last_price"].tolist() == [1400.55] * 2 and not pool.asked


def test_what_comes_is_waited_for(instance: FakeInstance) -> None:
    pool = Pool()

    async def ask() -> Any:
        prices = Prices(instance.paths, pool, wait_s=30.0)
        reading = asyncio.ensure_future(prices.read("alice", [SECOND, FIRST]))
        while not pool.asked:
            await asyncio.sleep(0.001)
        instance.write_latest(1, tick_of(SECOND, last_price=2.0))
        return await reading

    found = asyncio.run(ask())
    assert found.ticks["last_price"].tolist() == [2.0, 1400.55]
    assert pool.asked[0] == (
        "alice", Subscribe(instruments=[SECOND], mode="full", partial=True)
    )  # fmt: skip


def test_what_does_not_come_is_answered_with_what_there_is(instance: FakeInstance) -> None:
    pool = Pool()
    found = asyncio.run(Prices(instance.paths, pool, wait_s=0.05).read("alice", [SECOND, 5]))
    assert found.ticks["mode"].tolist() == [Mode.QUOTE, 0] and not found.refused
    assert pool.tokens(Subscribe) == [[SECOND, 5]]


def test_what_is_refused_is_not_waited_for(instance: FakeInstance) -> None:
    found = asyncio.run(Prices(instance.paths, Pool((5,)), wait_s=3600.0).read("alice", [5]))
    assert found.refused == {5: "no room"}
    pool = Pool(problem="it is starting")
    found = asyncio.run(Prices(instance.paths, pool, wait_s=3600.0).read("alice", [5, 6]))
    assert found.refused == dict.fromkeys((5, 6), "it is starting")


def test_demand_ends_when_nobody_asks_again(instance: FakeInstance) -> None:
    pool = Pool()

    async def ask() -> None:
        prices = Prices(instance.paths, pool, wait_s=0.01, linger_s=0.05)
        await prices.read("alice", [5])
        await prices.read("alice", [5, 6])
        await prices.read("bob", [5])
        while pool.flat(Unsubscribe) != pool.flat(Subscribe):
            await asyncio.sleep(0.001)
        assert set(pool.flat(Subscribe)) == {5, 6}
        before = len(pool.asked)
        await prices.read("alice", [5])
        owner, request = pool.asked[before]
        assert owner == "alice" and isinstance(request, Subscribe)

    asyncio.run(asyncio.wait_for(ask(), 30.0))
    assert {owner for owner, _ in pool.asked} == {"alice", "bob"}


def test_many_who_wait_do_not_make_the_rest_wait(instance: FakeInstance) -> None:
    async def ask() -> list[Any]:
        prices = Prices(instance.paths, Pool(), wait_s=3600.0)
        waiting = [asyncio.ensure_future(prices.read("alice", [5])) for _ in range(16)]
        await asyncio.sleep(0)
        found = await asyncio.wait_for(prices.read("alice", [5]), 30.0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return list(found.ticks["mode"])

    assert asyncio.run(ask()) == [0]
