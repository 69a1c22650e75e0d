"""Handlers for instruments: each gets its own, by account, and is told what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.core.enums import EventKind, Reason, SegmentKind, State
from pipeline.core.errors import (
    AuthError,
    CapacityError,
    InstanceEnded,
    Overrun,
    PipelineError,
    UpstreamError,
)
from pipeline.shm.instance import ManifestEntry
from pipeline.strategy.items import Gap, StateChange, TaggedTicks
from pipeline.strategy.pool_client import PoolClient, error_of
from tests.strategy.conftest import Make
from tests.strategy.fake_control import FakeControl
from tests.strategy.writer import FakeInstance

DEADLINE_S = 30.0


@pytest.fixture
def pool(make_instance: Make) -> FakeInstance:
    """Two connections, one of each account."""
    instance = make_instance(connections=2)
    for connection, name in zip(instance.connections, (b"main", b"more"), strict=True):
        connection.status.record["account"][:4] = np.frombuffer(name, np.uint8)
    instance.entries.append(ManifestEntry(SegmentKind.CONTROL_STATUS, 0))
    instance.publish()
    return instance


@pytest.fixture
def control(pool: FakeInstance) -> Iterator[FakeControl]:
    with FakeControl(pool.paths.control_socket, capacity=100) as running:
        yield running


class Seen:
    """Handlers that note what they are given."""

    def __init__(self) -> None:
        self.ticks: list[tuple[str, list[int]]] = []
        self.errors: list[tuple[str, BaseException]] = []

    def on_ticks(self, account: str, ticks: np.ndarray[Any, Any]) -> None:
        self.ticks.append((account, ticks["instrument_token"].tolist()))

    def on_error(self, account: str, error: BaseException) -> None:
        self.errors.append((account, error))


def client_of(pool: FakeInstance, **options: Any) -> PoolClient:
    return PoolClient(pool.paths.name, shm_directory=pool.paths.root, **options)


async def until(condition: Any, what: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


def send(pool: FakeInstance, *tokens: int, connection: int = 0) -> None:
    pool.connections[connection].lane.write_ticks(len(tokens), tokens)
    pool.bell.ring()


def test_handlers_get_their_own_ticks_by_account(pool: FakeInstance, control: FakeControl) -> None:
    first, second = Seen(), Seen()

    async def main() -> None:
        async with client_of(pool, name="c") as client:
            result = await client.subscribe_tokens([1, 2, "NSE:3"], first.on_ticks)
            assert (result.requested, result.accepted) == (3, 3)
            await client.subscribe_tokens([4], second.on_ticks, mode="full")
            send(pool, 1, 4, 9, 3)
            send(pool, 2, 9, connection=1)
            await until(lambda: len(first.ticks) == 2 and second.ticks, "ticks")
            await client.subscribe_tokens([1], second.on_ticks)  # another handler for it
            assert await client.unsubscribe_tokens(["NSE:3", 2]) == 2
            send(pool, 1, 2, 3)
            await until(lambda: len(second.ticks) == 2, "ticks of the other one")
            await client.set_mode("ltp", 1)

    asyncio.run(main())
    assert sorted(first.ticks) == [("main", [1, 3]), ("more", [2])]
    assert second.ticks == [("main", [4]), ("main", [1])]
    [modes] = control.ledger.values()
    assert modes == {4: "full", 1: "ltp"}


def test_ticks_may_be_kept_and_handlers_may_be_coroutines(
    pool: FakeInstance, control: FakeControl
) -> None:
    kept: list[np.ndarray[Any, Any]] = []

    async def on_ticks(account: str, ticks: np.ndarray[Any, Any]) -> None:
        await asyncio.sleep(0)
        kept.append(ticks)

    async def main() -> None:
        async with client_of(pool) as client:
            await client.subscribe_tokens([1, 2], on_ticks)
            for token in (1, 2):
                send(pool, token)
                await until(lambda n=token: len(kept) == n, "a batch")  # type: ignore[misc]

    asyncio.run(main())
    assert [int(t["instrument_token"][0]) for t in kept] == [1, 2]


def test_a_refused_subscription_leaves_the_handlers_as_they_were(
    pool: FakeInstance, control: FakeControl
) -> None:
    seen = Seen()

    async def main() -> None:
        async with client_of(pool) as client:
            await client.subscribe_tokens([1], seen.on_ticks)
            with pytest.raises(CapacityError):
                await client.subscribe_tokens(range(1, 200), seen.on_ticks)
            result = await client.subscribe_tokens(range(2, 103), seen.on_ticks, partial=True)
            assert [r.instrument for r in result.refused] == [101, 102]
            send(pool, 101, 1, 102, 100)
            await until(lambda: seen.ticks, "ticks")

    asyncio.run(main())
    assert seen.ticks == [("main", [1, 100])]


def test_troubles_are_told(
    pool: FakeInstance, control: FakeControl, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()

    def fails(account: str, ticks: object) -> None:
        raise ZeroDivisionError("of a handler")

    async def main() -> None:
        async with client_of(pool) as client:
            await client.subscribe_tokens([1], fails, seen.on_error)
            await client.subscribe_tokens([2], fails)
            send(pool, 1, 2, connection=1)
            await until(lambda: seen.errors, "the handler's error")
            pool.connections[0].lane.write_event(
                EventKind.STATE, state=State.AUTH_EXPIRED, reason=Reason.AUTH_REJECTED, detail=403
            )
            pool.bell.ring()
            await until(lambda: len(seen.errors) == 2, "the rejected token")
            for _ in range(12):
                pool.send(256, 1)
            await until(lambda: len(seen.errors) == 3, "the loss")
            pool.end()
            await until(lambda: len(seen.errors) == 5, "the end")
            await client.wait_closed()

    with caplog.at_level(logging.WARNING, "pipeline.strategy"):
        asyncio.run(main())
    assert [account for account, _ in seen.errors] == ["more", "main", "more", "main", "more"]
    kinds = [type(error) for _, error in seen.errors]
    assert kinds == [ZeroDivisionError, AuthError, Overrun, InstanceEnded, InstanceEnded]
    assert "of a handler" in caplog.text


def test_what_on_error_raises_ends_nothing(
    pool: FakeInstance, control: FakeControl, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()

    def on_ticks(account: str, ticks: np.ndarray[Any, Any]) -> None:
        seen.on_ticks(account, ticks)
        raise ValueError("first")

    def on_error(account: str, error: Exception) -> None:
        raise ValueError("second")

    async def main() -> None:
        async with client_of(pool) as client:
            await client.subscribe_tokens([1], on_ticks, on_error)
            for count in (1, 2):
                send(pool, 1)
                await until(lambda n=count: len(seen.ticks) == n, "a batch")  # type: ignore[misc]

    asyncio.run(main())
    assert "on_error raised" in caplog.text and "second" in caplog.text


def test_one_stream_of_everything_tagged(pool: FakeInstance, control: FakeControl) -> None:
    async def main() -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        async with client_of(pool) as client:
            send(pool, 1, 2)
            send(pool, 3, connection=1)
            async for item in client.stream(timeout_s=DEADLINE_S):
                assert isinstance(item, TaggedTicks)
                found.append((item.account, item.connection, len(item)))
                if len(found) == 2:
                    break
            await client.subscribe_tokens([1], Seen().on_ticks)
            with pytest.raises(PipelineError, match="handlers"):
                client.stream()
        return sorted(found)

    assert asyncio.run(main()) == [("main", 0, 2), ("more", 1, 1)]


def test_statistics_and_the_end_of_the_helper(pool: FakeInstance, control: FakeControl) -> None:
    control.documents["stats"] = {"total_accounts": 2}

    async def main() -> None:
        async with client_of(pool, name="ends") as client:
            assert await client.stats() == {"total_accounts": 2}
            await client.subscribe_tokens([1], Seen().on_ticks)

    asyncio.run(main())
    assert not [t.name for t in threading.enumerate() if t.name.startswith("ends")]


def test_which_events_are_errors() -> None:
    common = {"connection_epoch": 1, "tick_sequence": 0}
    gap = Gap(
        connection=0, reason=Reason.RESET, start_ts_ns=0, end_ts_ns=1, start_mono_ns=0,
        end_mono_ns=1, **common,
    )  # fmt: skip
    assert error_of(gap) is None
    change = StateChange(
        connection=3, state=State.RECONNECTING, reason=Reason.RESET, detail=104, ts_ns=0,
        mono_ns=0, **common,
    )  # fmt: skip
    error = error_of(change)
    assert isinstance(error, UpstreamError)
    assert str(error) == "connection 3 is RECONNECTING, RESET (104)"


def test_the_policy_raise_tells_and_goes_on(pool: FakeInstance, control: FakeControl) -> None:
    seen = Seen()

    async def main() -> None:
        async with client_of(pool, policy="raise") as client:
            await client.subscribe_tokens([1], seen.on_ticks, seen.on_error)
            for _ in range(12):
                pool.send(256)
            await until(lambda: seen.errors, "the loss")
            send(pool, 1)
            await until(lambda: seen.ticks, "what came after it")

    asyncio.run(main())
    [(account, error)] = seen.errors
    assert account == "main" and isinstance(error, Overrun)
    assert seen.ticks == [("main", [1])]
