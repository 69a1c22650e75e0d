"""`Market.subscribe` and what follows it: on an instance with a pool, that connections come to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.core.control import Hello
from pipeline.core.enums import Mode, SegmentKind
from pipeline.core.errors import (
    CapacityError,
    ControlUnavailable,
    InstanceEnded,
    NotSupportedYet,
    UnknownInstruments,
)
from pipeline.shm.instance import ManifestEntry
from pipeline.shm.tables import assignment_rows
from pipeline.strategy.market import Market
from tests.conftest import wait_until
from tests.strategy.conftest import Make
from tests.strategy.fake_control import FakeControl
from tests.strategy.writer import FakeInstance

ROOT = Path(__file__).parents[2]


def attach(instance: FakeInstance, **options: Any) -> Market:
    return pipeline.attach(instance.paths.name, shm_directory=instance.paths.root, **options)


@pytest.fixture
def pool(make_instance: Make) -> FakeInstance:
    """An instance with a pool that has no connection yet."""
    instance = make_instance(connections=0)
    instance.entries.append(ManifestEntry(SegmentKind.CONTROL_STATUS, 0))
    instance.publish()
    return instance


@pytest.fixture
def control(pool: FakeInstance) -> Iterator[FakeControl]:
    with FakeControl(pool.paths.control_socket, capacity=9000) as running:
        yield running


def test_a_market_says_whose_it_is(make_instance: Make) -> None:
    instance = make_instance(connections=0, owners=("alice", "bob"))
    instance.entries.append(ManifestEntry(SegmentKind.CONTROL_STATUS, 0))
    instance.publish()
    with FakeControl(instance.paths.control_socket) as control:
        for owner in ("alice", None):
            with attach(instance, name="mean", owner=owner) as market:
                assert market.subscribe([408065]).accepted == 1
                control.die()
                control.begin()
                assert market.subscribe([2]).accepted == 1  # and so after a restart
            assert {hello.owner for hello in control.asked(Hello)} == {owner}
            control.heard.clear()


def test_a_market_says_what_it_wants(pool: FakeInstance, control: FakeControl) -> None:
    with attach(pool, name="mean") as market:
        assert market.wants() == {}
        result = market.subscribe([408065, "NSE:256265"], mode="full")
        assert (result.requested, result.accepted, result.refused) == (2, 2, ())
        assert market.subscribe(np.arange(1, 4, dtype=np.uint32)).accepted == 3
        market.set_mode("ltp", range(1, 3))
        assert market.unsubscribe("NSE:408065") == 1
        assert market.wants() == {"NSE:256265": "full", 3: "quote", 1: "ltp", 2: "ltp"}
        assert control.of(f"mean.{os.getpid()}") == {256265: "full", 3: "quote", 1: "ltp", 2: "ltp"}


def test_two_markets_of_a_process_are_two_clients(pool: FakeInstance, control: FakeControl) -> None:
    with attach(pool, name="mean") as first, attach(pool, name="mean") as second:
        first.subscribe(1)
        second.subscribe(2)
        pid = os.getpid()
        assert control.ledger == {f"mean.{pid}": {1: "quote"}, f"mean-2.{pid}": {2: "quote"}}


def test_what_was_refused_is_not_wanted_also_where_not_all_are_named(
    pool: FakeInstance, control: FakeControl
) -> None:
    with attach(pool) as market:
        result = market.subscribe(range(1, 10_102), partial=True)
        assert (result.accepted, len(result.refused)) == (9000, 1000)
        assert len(market.wants()) == 9000


def test_refusals_are_errors(pool: FakeInstance, control: FakeControl) -> None:
    with attach(pool) as market:
        with pytest.raises(CapacityError) as full:
            market.subscribe(range(1, 9002))
        assert (full.value.requested, full.value.available) == (9001, 9000)
        with pytest.raises(UnknownInstruments, match="NSE:INFI"):
            market.subscribe("NSE:INFI")
        for wrong, error in [
            (lambda: market.subscribe([1], mode="FULL"), ValueError),
            (lambda: market.set_mode("depth", [1]), ValueError),
            (lambda: market.set_mode([1], "full"), ValueError),  # type: ignore[arg-type]
            (lambda: market.subscribe([0]), ValueError),
            (lambda: market.subscribe([True]), ValueError),
            (lambda: market.subscribe([1.5]), TypeError),  # type: ignore[list-item]
            (lambda: market.subscribe([""]), ValueError),
            (lambda: market.subscribe(None), TypeError),  # type: ignore[arg-type]
        ]:
            with pytest.raises(error, match="expected"):
                wrong()
        assert market.wants() == {}
    assert control.ledger == {}


def test_a_pool_whose_control_process_is_away(pool: FakeInstance) -> None:
    with attach(pool) as market:
        assert market.has_pool
        market.demand().timeout_s = 0.1
        with pytest.raises(ControlUnavailable):
            market.subscribe(1)


def test_an_instance_without_a_pool_names_the_config(instance: FakeInstance) -> None:
    with attach(instance) as market:
        assert not market.has_pool
        with pytest.raises(NotSupportedYet, match=r"\[pool\].*\[\[subscription\]\]"):
            market.subscribe(1)


def test_an_ended_instance_is_told_at_once(pool: FakeInstance) -> None:
    with attach(pool) as market:
        pool.end()
        with pytest.raises(InstanceEnded):
            market.demand()
            market.subscribe(1)


def test_a_closed_market_subscribes_to_nothing(pool: FakeInstance, control: FakeControl) -> None:
    market = attach(pool)
    market.subscribe(1)
    market.close()
    with pytest.raises(ControlUnavailable, match="closed"):
        market.subscribe(2)
    other = attach(pool)
    other.close()
    with pytest.raises(ControlUnavailable, match="closed"):
        other.subscribe(2)


def test_connections_that_come_later_are_delivered_and_in_the_table(
    pool: FakeInstance, control: FakeControl
) -> None:
    with attach(pool) as market:
        market.subscribe([408065, 256265, 7])
        assert market.latest([408065])["sequence"].tolist() == [0]  # expected, not assigned yet
        with pytest.raises(CapacityError, match="subscribe to them"):
            market.latest([99])
        assert len(next(market.batches(timeout_s=0.01))) == 0
        for number in range(2):
            pool.add_connection()
            sent = pool.send(3, number)
            found = next(market.batches(timeout_s=30))
            assert found["sequence"].tolist() == sent["sequence"].tolist()
            assert found["connection"].tolist() == [number] * 3
        assert len(market.connections()) == 2
        tick = sent[2].copy()
        pool.write_latest(0, tick)
        assert market.latest([408065, 7])["sequence"].tolist() == [int(tick["sequence"]), 0]


def test_what_is_assigned_later_is_in_the_table(pool: FakeInstance, control: FakeControl) -> None:
    connection = pool.add_connection()
    with attach(pool) as market:
        assert market.latest([408065])["sequence"].tolist() == [0]
        modes = np.full(2, Mode.FULL)
        connection.assignment.write(assignment_rows(np.array([5, 6]), modes, 4))
        tick = connection.lane.make_ticks(1, tokens=(6,))[0]
        pool.write_latest(5, tick)
        assert market.latest([6, 5])["sequence"].tolist() == [int(tick["sequence"]), 0]
        assert market.modes() == {5: Mode.FULL, 6: Mode.FULL}


def test_the_demand_ends_with_a_market_that_is_forgotten(
    pool: FakeInstance, control: FakeControl
) -> None:
    market = attach(pool)
    market.subscribe(1)
    thread = market.demand()._thread
    del market
    wait_until(lambda: not thread.is_alive(), timeout_s=30, what="the thread's end")


def test_connections_name_their_accounts(pool: FakeInstance) -> None:
    connection = pool.add_connection()
    connection.status.record["account"][:4] = np.frombuffer(b"main", np.uint8)
    with attach(pool) as market:
        assert [c.account for c in market.connections()] == ["main"]


def test_mine_are_the_ticks_of_what_was_subscribed_to(
    pool: FakeInstance, control: FakeControl
) -> None:
    lane = pool.add_connection().lane
    with attach(pool) as market:
        lane.write_ticks(4, tokens=(1, 2, 3, 4))
        batch = next(market.batches(timeout_s=30))
        assert len(market.mine(batch)) == 0
        market.subscribe([1, "NSE:3"])
        assert market.mine(batch)["instrument_token"].tolist() == [1, 3]
        market.unsubscribe(3)
        assert market.mine(batch)["instrument_token"].tolist() == [1]


def test_tagged_ticks_come_by_connection_with_their_account(pool: FakeInstance) -> None:
    for name in (b"main", b"more"):
        connection = pool.add_connection()
        connection.status.record["account"][:4] = np.frombuffer(name, np.uint8)
    with attach(pool) as market:
        for number in (0, 1, 0):
            pool.send(2, number)
        tagged = market.tagged(timeout_s=0)
        found = [next(tagged), next(tagged)]
        assert [(t.account, t.connection, len(t)) for t in found] == [  # type: ignore[union-attr]
            ("main", 0, 4), ("more", 1, 2),
        ]  # fmt: skip
        pool.connections[1].lane.write_event()
        assert isinstance(next(tagged), pipeline.Gap)
        pool.send(1, 1)
        only = next(tagged)
        assert isinstance(only, pipeline.TaggedTicks) and only.connection == 1
        assert next(tagged) == pipeline.Idle(0)


_FORGETFUL = """
import sys, pipeline
market = pipeline.attach(sys.argv[1], shm_directory=sys.argv[2])
market.subscribe([1, 2])
print("subscribed", flush=True)
"""


def test_an_interpreter_that_ends_without_closing_ends_at_once(
    pool: FakeInstance, control: FakeControl
) -> None:
    arguments = [sys.executable, "-c", _FORGETFUL, pool.paths.name, str(pool.paths.root)]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "subscribed\n", "")
    [wanted] = control.ledger.values()
    assert wanted == {1: "quote", 2: "quote"}
    wait_until(lambda: not control.connected, timeout_s=30, what="the end of its connection")
