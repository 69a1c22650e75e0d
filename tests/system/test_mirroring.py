"""Instruments on two connections: whatever becomes of one, each state is delivered once.

Full packets, and an exchange that advances every instrument with each frame, so that both
connections send the same states. What the exchange's log has of a mirrored instrument, on whatever
connection, the strategy must have exactly once; of others, what one connection was sent and lost
lies in its gaps.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection

import numpy as np
import pytest

from pipeline.core.control import Act
from pipeline.core.enums import Mode, SegmentKind, State
from pipeline.shm.pages import StatusPage
from pipeline.sim.verify import verify
from tests.system.judge import Array, Witness, assert_contiguous, came_elsewhere, run_dry, truth_of
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for
from tests.system.story import Story
from tests.system.test_moving import shares
from tests.system.test_pool import rows_of
from tests.system.test_pool_failover import ask_exchange, sessions_of

Make = Callable[..., Run]

POOL = (
    'instruments_per_connection = 100\nheadroom = 0.0\nmirror_priority = "critical"\n'
    "shrink_after_s = 0.0\nredistribute_after_s = {}"
)
FEED = "[feed]\nbackoff_min_s = 0.1\nbackoff_max_s = 0.5\nping_after_s = 0.6\nstall_after_s = 1.2\n"
MIRRORED, OTHERS = 12, 10
#: The decoder remembers 32 states of an instrument: no connection may fall behind by more here.
STATES = 'rate = "max"\ninterval_s = 0.05'
STOPPED_STATES = 8


def places(run: Run) -> dict[int, set[int]]:
    """Return which connections' tables have each instrument."""
    found: dict[int, set[int]] = {}
    for number, rows in rows_of(run).items():
        for token in rows["instrument_token"].tolist():
            found.setdefault(token, set()).add(number)
    return found


def mirrored_on(run: Run, tokens: Collection[int]) -> set[int]:
    """Return the two connections that carry all of these; empty unless there are two such."""
    found = {frozenset(places(run).get(token, ())) for token in tokens}
    numbers = set(found.pop()) if len(found) == 1 else set()
    return numbers if len(numbers) == 2 and all(map(run.is_complete, numbers)) else set()


def begin(run: Run, client: PoolClient) -> tuple[list[int], set[int]]:
    """Subscribe, and return what is mirrored, and on which connections."""
    tokens = shares(MIRRORED + OTHERS)
    client.subscribe(tokens[:MIRRORED], priority="critical")
    client.subscribe(tokens[MIRRORED:])
    mirrored = tokens[:MIRRORED]
    numbers = wait_for(lambda: mirrored_on(run, mirrored), "both halves to be there and tick")
    wait_for(lambda: ticks_on(run, numbers, 100), "ticks on both")
    return mirrored, numbers


def ticks_on(run: Run, numbers: Collection[int], count: int) -> bool:
    """Whether so many ticks have been published of these connections together."""
    return sum(run.tick_tail(number) for number in numbers) > count


def assert_each_state_once(run: Run, witness: Witness, tokens: list[int]) -> None:
    """Every state of these that was sent on any connection was delivered once, and nothing else.

    Order holds for the ticks of one connection. What a connection says first after it has come
    back is each instrument's last state: where that was its own, it is a tick once more.
    """
    rows, truth = witness.rows(), truth_of(run)
    assert_contiguous(rows, witness.told())
    full = rows[rows["mode"] == Mode.FULL]
    for token in tokens:
        own = full[full["instrument_token"] == token]
        own = own[~said_again(own)]
        is_own = (truth["instrument_token"] == token) & (truth["mode"] == Mode.FULL)
        sent = np.unique(truth["sequence"][is_own])
        states, counts = np.unique(own["sequence"], return_counts=True)
        again, odd = states[counts > 1], np.setxor1d(states, sent)
        story = Story(full, truth, token)
        assert not len(again), f"{token}: a state came twice\n{story.around(again[:3])}"
        assert not len(odd), f"{token}: states are missing or made up\n{story.around(odd[:3])}"


def said_again(rows: Array) -> Array:
    """Return which of an instrument's ticks their own connection had brought already: (n,) bool.

    That is before it was interrupted.
    """
    epochs: dict[tuple[int, int], int] = {}
    found = np.zeros(len(rows), bool)
    for at, row in enumerate(rows):
        state, epoch = (int(row["connection"]), int(row["sequence"])), int(row["epoch"])
        found[at] = epochs.setdefault(state, epoch) < epoch
    return found


def assert_others_accounted_for(run: Run, witness: Witness, mirrored: list[int]) -> None:
    """Of what one connection carries everything came, or lies in a gap of that connection."""
    rows, truth = witness.rows(), truth_of(run)
    rows = rows[~np.isin(rows["instrument_token"], mirrored)]
    truth = truth[~np.isin(truth["instrument_token"], mirrored)]
    verdict = verify(truth[~came_elsewhere(truth, rows)], rows, witness.announced())
    assert verdict.sent > 0 and verdict.passed, verdict


def wait_for_return(run: Run, number: int, fault: Callable[[], object]) -> None:
    epoch = int(run.page(number)["connection_epoch"])
    fault()
    wait_for(lambda: int(run.page(number)["connection_epoch"]) > epoch, "the feed to come back")


def kill(run: Run, number: int) -> None:
    wait_for_return(run, number, lambda: run.kill(f"feed {number}"))


def stop(run: Run, number: int) -> None:
    """Let a feed hang for a moment: what it is sent meanwhile comes late."""
    before = {n: run.tick_tail(n) for n in run.numbers if n != number}
    pid = run.kill(f"feed {number}", signal.SIGSTOP)
    count = STOPPED_STATES * MIRRORED
    try:
        wait_for(lambda: any(run.tick_tail(n) > before[n] + count for n in before), "the other")
    finally:
        os.kill(pid, signal.SIGCONT)


def reset(run: Run, number: int) -> None:
    wait_for_return(run, number, lambda: ask_exchange(run, "reset", connection=number))


def freeze(run: Run, number: int) -> None:
    """Let the exchange say nothing any more on a socket that stays open."""
    wait_for_return(run, number, lambda: ask_exchange(run, "half_open", connection=number))


@pytest.mark.parametrize("fault", [kill, reset, freeze, stop], ids=lambda fault: fault.__name__)
def test_whatever_becomes_of_one_of_two_connections_each_state_comes_once(
    make_run: Make, fault: Callable[[Run, int], None]
) -> None:
    run = make_run(pool=POOL.format(30.0), more=FEED, simulator=STATES, count=60).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        mirrored, numbers = begin(run, client)
        for number in sorted(numbers):
            (other,) = numbers - {number}
            before = run.tick_tail(other)
            fault(run, number)
            wait_for(lambda n=other, b=before: run.tick_tail(n) > b + 200, "the other to go on")
            wait_for(lambda: mirrored_on(run, mirrored) == numbers, "the half to come back")
        run_dry(run, witness)
        assert run.stop() == 0
    witness.finish()
    assert_each_state_once(run, witness, mirrored)
    assert_others_accounted_for(run, witness, mirrored)
    interrupted = {gap["connection"] for gap in witness.told("Gap")}
    assert interrupted == numbers if fault is not stop else interrupted <= numbers
    run.assert_nothing_left()


def test_a_half_that_cannot_come_back_is_made_elsewhere(make_run: Make) -> None:
    run = make_run(pool=POOL.format(0.5), more=FEED, simulator=STATES, count=60).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        mirrored, numbers = begin(run, client)
        first, second = sorted(numbers)
        client.ask(Act(action="scale", connections=3))
        wait_for(lambda: len(run.numbers) == 3 and is_up(run, 2), "a third connection")
        ask_exchange(run, "refuse", status=503, seconds=3600)
        ask_exchange(run, "reset", connection=first)
        wait_for(lambda: mirrored_on(run, mirrored) == {second, 2}, "a half on the third")
        ask_exchange(run, "admit")
        kill(run, second)
        wait_for(lambda: mirrored_on(run, mirrored), "both halves again")
        run_dry(run, witness)
        assert run.stop() == 0
    witness.finish()
    assert_each_state_once(run, witness, mirrored)
    run.assert_nothing_left()


def is_up(run: Run, number: int) -> bool:
    return run.state(number) in (State.SUBSCRIBING, State.LIVE, State.QUIET)


@pytest.mark.parametrize(
    "waits",
    [False, pytest.param(True, marks=pytest.mark.full)],
    ids=["before its clients", "after its clients"],
)
def test_a_control_process_after_the_first_leaves_both_halves(make_run: Make, waits: bool) -> None:
    run = make_run(pool=POOL.format(30.0), more=FEED, simulator=STATES, count=60).start_and_wait()
    witness = Witness(run)
    tokens = shares(MIRRORED + OTHERS)
    with PoolClient(run, "t") as client:
        mirrored, numbers = begin(run, client)
    before, sessions = places(run), sessions_of(run)
    page = StatusPage(run.attach(SegmentKind.CONTROL_STATUS)).record
    for _ in range(2):
        old = run.kill("control 0")
        wait_for(lambda pid=old: run.pid("control 0") not in (0, pid), "its successor")
        turns = int(page["turns"])
        if waits:
            with PoolClient(run, "t") as client:
                client.subscribe(mirrored, priority="critical")
                client.subscribe(tokens[MIRRORED:])
        wait_for(lambda n=turns: int(page["turns"]) > n + 8, "it to have looked around")
        assert int(page["desired"]) == int(page["assigned"]) == len(tokens)
        assert places(run) == before and sessions_of(run) == sessions
    for number in sorted(numbers):
        kill(run, number)
        wait_for(lambda: mirrored_on(run, mirrored) == numbers, "the half to come back")
    run_dry(run, witness)
    assert run.stop() == 0
    witness.finish()
    assert_each_state_once(run, witness, mirrored)
    run.assert_nothing_left()
