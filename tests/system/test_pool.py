"""A pool against the simulated exchange: connections come with what is wanted, and go with it.

The judge compares the exchange's own log with what a strategy process has logged.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np

from pipeline.core.control import Ask, Unsubscribe
from pipeline.core.enums import SegmentKind, State
from pipeline.core.instruments import simulated_tokens
from pipeline.shm.tables import AssignmentTable, WireTable
from tests.system.judge import Witness, judge, run_dry
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]

POOL = "instruments_per_connection = 100\nheadroom = 0.0\nlinger_s = 0.5"


def wires_of(run: Run) -> list[tuple[int, int]]:
    """Return (instrument token, mode) of all connections' wires."""
    return [
        (int(row["instrument_token"]), int(row["mode"]))
        for number in run.numbers
        for row in WireTable(run.attach(SegmentKind.WIRE, number)).read()[1]
    ]


def wire_of(run: Run) -> dict[int, int]:
    """Return {instrument token: mode} of all connections' wires; fail if one is on two."""
    found = wires_of(run)
    assert len(found) == len(dict(found)), "an instrument is on two connections"
    return dict(found)


def rows_of(run: Run) -> dict[int, np.ndarray]:  # type: ignore[type-arg]
    """Return every connection's assignment rows."""
    return {
        number: AssignmentTable(run.attach(SegmentKind.ASSIGNMENT, number)).read()[1]
        for number in run.numbers
    }


def complete(run: Run, count: int) -> None:
    """Wait until so many instruments are on the wire, and every connection is complete."""

    def is_there() -> bool:
        found = wires_of(run)
        return len(found) == len(dict(found)) == count

    wait_for(is_there, f"{count} instruments on the wire, each once")
    for number in run.numbers:
        wait_for(lambda n=number: run.is_complete(n), "a connection to be complete")  # type: ignore[misc]


def end(run: Run, *witnesses: Witness) -> None:
    run_dry(run, *witnesses)
    assert run.stop() == 0
    for witness in witnesses:
        witness.finish()


def test_connections_come_with_what_is_wanted(make_run: Make) -> None:
    run = make_run(pool=POOL).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        assert run.numbers == []
        assert client.subscribe(simulated_tokens(0, 60))["accepted"] == 60
        complete(run, 60)
        assert run.numbers == [0]
        assert client.subscribe(simulated_tokens(0, 300))["already"] == 60
        complete(run, 300)
        assert run.numbers == [0, 1, 2]
        end(run, witness)
    verdict = judge(run, witness)
    assert verdict.lost == 0
    assert len(np.unique(witness.rows()["instrument_token"])) == 300
    run.assert_nothing_left()


def test_a_demand_ends_with_its_client_and_the_grace(make_run: Make) -> None:
    run = make_run(pool=POOL).start_and_wait()
    tokens = simulated_tokens(0, 150)
    with PoolClient(run, "stays") as stays:
        stays.subscribe(tokens[:50], mode="ltp")
        with PoolClient(run, "goes") as goes:
            goes.subscribe(tokens)
            complete(run, 150)
            goes.ask(Unsubscribe(instruments=list(tokens[100:])))
            complete(run, 100)
        complete(run, 50)
        assert set(wire_of(run)) == set(tokens[:50]) and set(wire_of(run).values()) == {1}
        assert run.stop() == 0
    run.assert_nothing_left()


def test_a_dead_control_process_costs_not_one_tick(make_run: Make) -> None:
    run = make_run(pool=POOL, simulator='rate = "max"\ninterval_s = 0.02').start_and_wait()
    witness = Witness(run)
    tokens = simulated_tokens(0, 300)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        complete(run, 300)
    before = rows_of(run)
    tails = {number: run.tick_tail(number) for number in run.numbers}
    pid = run.kill("control 0", signal.SIGSTOP)  # held back: no successor while it is not dead
    wait_for(
        lambda: all(run.tick_tail(n) > tails[n] + 3000 for n in run.numbers), "ticks without it"
    )
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: run.pid("control 0") not in (0, pid), "its successor")
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        clients = {c["name"]: c for c in client.ask(Ask(about="clients"))}
        assert clients["t"]["instruments"] == 300
        end(run, witness)
    verdict = judge(run, witness)
    assert verdict.lost == 0 and verdict.gaps == 0
    run.assert_nothing_left()
    assert {n: len(rows) for n, rows in before.items()} == {0: 100, 1: 100, 2: 100}


def test_an_outage_moves_its_instruments_and_the_others_lose_nothing(make_run: Make) -> None:
    pool = "instruments_per_connection = 200\nopen = 'all'\nredistribute_after_s = 1.5"
    more = "[feed]\nbackoff_max_s = 0.5\nbackoff_min_s = 0.2\n"
    run = make_run(pool=pool, more=more).start_and_wait()
    tokens = simulated_tokens(0, 300)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        complete(run, 300)
        # On a busy machine a feed may be silent for so long that it is taken for gone already.
        wait_for(lambda: {len(rows) for rows in rows_of(run).values()} == {100}, "an even spread")
        pid = run.kill("feed 1", signal.SIGSTOP)
        wait_for(lambda: len(rows_of(run)[1]) == 0, "its instruments to move")
        wait_for(lambda: run.is_complete(0) and run.is_complete(2), "the others to have them")
        assert sum(len(rows) for rows in rows_of(run).values()) == 300
        wait_for(lambda: run.pid("feed 1") not in (0, pid), "its successor")
        wait_for(lambda: run.state(1) in (State.LIVE, State.QUIET), "it to come back")
        assert run.stop() == 0
    run.assert_nothing_left()
