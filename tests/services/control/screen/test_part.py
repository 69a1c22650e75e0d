"""An owner's part of an instance's figures: his, and what is everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.services.control.screen.document import state_document
from pipeline.services.control.screen.part import part_of, without_counts
from pipeline.services.status import InstanceStatus, problems
from pipeline.services.status.model import Gateway, Latency, Reader, ReaderCursor
from pipeline.services.status.recent import NOTHING, take_look
from tests.services.status.establish import Established

LATENCY = Latency(samples=5, p50_ns=1, p99_ns=2, p999_ns=3, max_ns=4)


@pytest.fixture
def status(tmp_path: Path) -> Iterator[InstanceStatus]:
    """Connection 1 is bob's, on a decoder of his own; 0 and 2 are alice's."""
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    found = take_look(made.paths).status
    made.end()
    owners = {0: "alice", 1: "bob", 2: "alice"}
    connections = [replace(one, owner=owners[one.number]) for one in found.connections]
    decoders = [*found.decoders, replace(found.decoders[0], number=1)]
    yield replace(found, connections=connections, decoders=decoders, deaths=3)


def _reader(name: str, *connections: int) -> Reader:
    cursors = [
        ReaderCursor(connection=n, cursor=0, lag=0, delivered=0, lost=0, laps=0, events=0)
        for n in connections
    ]
    return Reader(
        name=name, pid=1, alive=True, policy="resume", heartbeat_age_s=0.1, batches=0, delivered=0,
        events=0, lost=0, laps=0, lag=0, latency=LATENCY, cursors=cursors,
    )  # fmt: skip


def test_connections_decoders_and_processes_are_his(status: InstanceStatus) -> None:
    found = part_of(status, "bob", range(1, 2))
    assert [one.number for one in found.connections] == [1]
    assert [one.number for one in found.decoders] == [1]
    assert [one.name for one in found.processes] == ["feed-1", "simulator"]
    assert found.deaths == 0 and len(status.connections) == 3


def test_readers_are_those_of_his_connections_alone(status: InstanceStatus) -> None:
    readers = [_reader("his", 1), _reader("hers", 0, 2), _reader("all", 0, 1, 2), _reader("none")]
    found = part_of(replace(status, readers=readers), "bob", range(1, 2))
    assert [one.name for one in found.readers] == ["his"]


def test_anothers_trouble_is_no_problem_of_his(status: InstanceStatus) -> None:
    bad = [replace(one, state="STALLED") for one in status.connections]
    found = problems(part_of(replace(status, connections=bad), "bob", range(1, 2)))
    assert found and all(line.startswith("connection 1 ") for line in found)


def test_that_the_gateway_runs_is_told_and_whom_it_serves_is_not(status: InstanceStatus) -> None:
    gateway = Gateway(
        pid=7, alive=True, heartbeat_age_s=0.1, port=8765, clients=3, authenticated=2,
        subscriptions=1, instruments=1, messages_waiting=4, demanded=1, balances=[],
        counters=dict.fromkeys(
            ("messages_sent", "messages_conflated", "messages_dropped", "cut_stalled",
             "cut_backlog", "cut_silent", "cut_protocol", "refused_host", "keys_refused",
             "ticks_lost", "orders_lost"), 9),
        receive_to_send=LATENCY,
    )  # fmt: skip
    row = state_document(replace(status, gateway=gateway), NOTHING)["gateway"]
    found = without_counts(row)
    assert found is not None and found.keys() == row.keys()
    assert (found["pid"], found["alive"], found["port"]) == (7, True, 8765)
    since = found.pop("latency_since_start")
    assert (since["p99_ns"], since["samples"]) == (2, None)
    assert {value for name, value in found.items() if name not in ("pid", "alive", "port")} == {
        None
    }
    assert without_counts(None) is None
