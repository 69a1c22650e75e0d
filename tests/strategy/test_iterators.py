"""The same loops with `async for`: one helper thread, clean cancellation, nothing lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pipeline
from pipeline.core.errors import InstanceEnded
from pipeline.strategy.market import Market
from tests.strategy.writer import FakeInstance


def attach(instance: FakeInstance, **options: Any) -> Market:
    return pipeline.attach(instance.paths.name, shm_directory=instance.paths.root, **options)


def _helpers() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.endswith("-wait")]


def test_batches_and_items_come_to_a_coroutine(instance: FakeInstance) -> None:
    async def main() -> list[Any]:
        found: list[Any] = []
        with attach(instance) as market:
            loop = asyncio.get_running_loop()
            loop.call_later(0.01, instance.send, 5)
            async for ticks in market.batches():
                found.append(len(ticks))
                break
            instance.connections[0].lane.write_event()
            async for item in market.stream(timeout_s=0.01):
                found.append(type(item).__name__)
                if isinstance(item, pipeline.Idle):
                    break
        return found

    assert asyncio.run(main()) == [5, "Gap", "Idle"]
    assert not _helpers()


def test_cancelling_a_wait_loses_nothing(instance: FakeInstance) -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        with attach(instance) as market:
            batches = market.batches()
            for round_ in range(30):
                if round_ % 3 == 0:
                    asyncio.get_running_loop().call_later(0.003, instance.send, 2)
                try:
                    ticks = await asyncio.wait_for(anext(batches), 0.003)
                except TimeoutError:
                    continue
                seen += ticks["sequence"].tolist()
            await asyncio.sleep(0.01)
            ticks = next(market.batches(timeout_s=0))  # and a plain loop goes on from there
            return seen + ticks["sequence"].tolist()

    assert asyncio.run(main()) == list(range(1, 21))
    assert not _helpers()


def test_other_tasks_run_beside_a_busy_stream(instance: FakeInstance) -> None:
    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count())
        with attach(instance) as market:
            batches = market.batches()
            for _ in range(50):
                instance.send(1)
                await anext(batches)
        task.cancel()
        return turns

    assert asyncio.run(main()) >= 50


def test_stop_ends_an_async_loop(instance: FakeInstance) -> None:
    async def main() -> int:
        with attach(instance) as market:
            asyncio.get_running_loop().call_later(0.01, market.stop)
            return len([ticks async for ticks in market.batches()])

    assert asyncio.run(main()) == 0


def test_two_event_loops_one_after_the_other(instance: FakeInstance) -> None:
    async def wait(market: Market) -> int:
        try:
            await asyncio.wait_for(anext(market.batches()), 0.005)
        except TimeoutError:
            return 0
        return 1

    with attach(instance) as market:
        assert asyncio.run(wait(market)) == 0
        instance.send(1)
        assert asyncio.run(wait(market)) in (0, 1)
        instance.send(1)
        assert len(next(market.batches(timeout_s=10))) in (1, 2)


def test_the_end_reaches_an_async_loop(instance: FakeInstance) -> None:
    async def main() -> None:
        with attach(instance) as market:
            instance.end()
            await anext(market.batches())

    with pytest.raises(InstanceEnded):
        asyncio.run(main())


def test_async_views(instance: FakeInstance) -> None:
    async def main() -> list[int]:
        with attach(instance) as market:
            instance.send(3)
            views = market.batches(timeout_s=0.01, copy=False, connection=0)
            return [len(await anext(views)), len(await anext(views))]

    assert asyncio.run(main()) == [3, 0]


def test_a_negative_timeout_is_refused(instance: FakeInstance) -> None:
    with attach(instance) as market, pytest.raises(ValueError, match="timeout_s"):
        market.batches(timeout_s=-1)
