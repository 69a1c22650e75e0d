"""Moving instruments while they tick: each state of each is delivered once, whoever had it.

Full packets, and an exchange that advances every instrument with each frame, so that both
connections of a moving instrument send the same states. What the exchange's log has of an
instrument, on whatever connection, the strategy must have exactly once and in order.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.core.control import Act, Unsubscribe
from pipeline.core.enums import Mode, Reason
from pipeline.core.instruments import SEGMENT_INDICES, simulated_tokens
from pipeline.sim.truth import read_truth
from tests.system.judge import Array, Witness, control_of, judge_moves, run_dry
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for
from tests.system.story import Story
from tests.system.test_pool import complete, rows_of, wire_of

Make = Callable[..., Run]

POOL = "instruments_per_connection = 100\nheadroom = 0.0\nmoves_per_s = 100\nshrink_after_s = 0.0"
FAST = 'rate = "max"\ninterval_s = 0.02'


def shares(count: int) -> list[int]:
    """Return tokens of the exchange that are no indices, whose full packets have a volume."""
    listed = simulated_tokens(0, 2 * count)
    return [token for token in listed if token & 0xFF != SEGMENT_INDICES][:count]


def assert_once(run: Run, witness: Witness) -> int:
    """Every state that was sent of an instrument was delivered once, in order; return how many."""
    rows = witness.rows()
    rows = rows[rows["mode"] == Mode.FULL]
    truth = np.array(read_truth(run.folder / "truth.bin"))
    truth = truth[truth["mode"] == Mode.FULL]
    for token in np.unique(truth["instrument_token"]):
        sent = np.unique(truth["sequence"][truth["instrument_token"] == token])
        got = rows["sequence"][rows["instrument_token"] == token]
        story = Story(rows, truth, int(token))
        states, counts = np.unique(got, return_counts=True)
        again, odd = states[counts > 1], np.setxor1d(got, sent)
        back = got[1:][np.diff(got.astype(np.int64)) < 0]
        assert not len(again), f"{token}: a state came twice\n{story.around(again)}"
        assert not len(odd), f"{token}: states are missing or made up\n{story.around(odd)}"
        assert not len(back), f"{token}: out of order\n{story.around(back)}"
    return len(rows)


def settle(run: Run, count: int) -> None:
    """Wait until all is on the wire and has ticked for a while."""
    complete(run, count)
    before = {n: run.tick_tail(n) for n in run.numbers}
    wait_for(
        lambda: all(
            run.tick_tail(n) > before.get(n, 0) + 200 for n in run.numbers if len(rows_of(run)[n])
        ),
        "ticks of all",
    )


@pytest.mark.parametrize(
    "kill", ["", "decoder 0"], ids=["undisturbed", "a decoder killed meanwhile"]
)
def test_recycling_and_rebalancing_deliver_each_state_once(make_run: Make, kill: str) -> None:
    run = make_run(pool=f"{POOL}\npolicy = 'first_fit'", simulator=FAST, count=160).start_and_wait()
    witness = Witness(run)
    tokens = shares(60)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        settle(run, 60)
        assert run.numbers == [0]
        client.ask(Act(action="recycle", connection=0))
        if kill:
            wait_for(lambda: len(run.numbers) == 2, "the successor to open")
            run.kill(kill, signal.SIGKILL)
        wait_for(lambda: run.numbers == [1], "the old connection to be gone")
        settle(run, 60)
        run_dry(run, witness)
        assert run.stop() == 0
    witness.finish()
    assert assert_once(run, witness) > 300
    run.assert_nothing_left()


def test_a_rebalance_moves_while_everything_ticks(make_run: Make) -> None:
    run = make_run(pool=f"{POOL}\nopen = 'all'", simulator=FAST, count=160).start_and_wait()
    witness = Witness(run)
    tokens = shares(90)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        settle(run, 90)
        dropped = [int(row["instrument_token"]) for row in rows_of(run)[0]]
        client.ask(Unsubscribe(instruments=dropped))
        complete(run, 60)
        moved = client.ask(Act(action="rebalance"))
        assert sum(plan["instruments"] for plan in moved["planned"]) == 20
        wait_for(lambda: sorted(map(len, rows_of(run).values())) == [20, 20, 20], "the balance")
        settle(run, 60)
        assert len(wire_of(run)) == 60
        run_dry(run, witness)
        assert run.stop() == 0
    witness.finish()
    rows = witness.rows()
    rows = rows[rows["mode"] == Mode.FULL]
    kept = set(tokens) - set(dropped)
    for token in kept:
        got = rows["sequence"][rows["instrument_token"] == token].astype(np.int64)
        assert len(got) > 10 and np.all(np.diff(got) == 1), f"{token}: {got[:20]}"
    run.assert_nothing_left()


APART = """instruments_per_connection = 100
connections_per_key = 2
open = "all"
headroom = 0.0
moves_per_s = 100
shrink_after_s = 0.0
redistribute_after_s = 0.5
rebalance_after_s = 600.0"""


@pytest.mark.parametrize("how", ["drained", "failed"])
def test_between_decoders_each_instrument_is_told_its_gap(make_run: Make, how: str) -> None:
    """Break before make: what is missing of an instrument lies in a gap of its own."""
    decoders = "[decoder]\ncount = 2\n[feed]\nbackoff_max_s = 0.5\n"
    run = make_run(pool=APART, simulator=FAST, count=160, more=decoders).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        client.subscribe(shares(60))
        settle(run, 60)
        assert sorted(map(len, rows_of(run).values())) == [30, 30]
        source, target = run.numbers
        before = {int(row["instrument_token"]) for row in rows_of(run)[source]}
        if how == "failed":
            with control_of(run) as control:
                control.command("refuse", status=503, seconds=3600)
                control.command("reset", connection=source)
        else:
            client.ask(Act(action="drain", connection=source))
        wait_for(lambda: len(rows_of(run)[target]) == 60, "them to move")
        wait_for(lambda: run.is_complete(target), "all of them to tick there")
        run_dry(run, witness)
        assert run.stop() == 0
    witness.finish()
    rows = witness.rows()
    told = [gap for gap in witness.told("Gap") if gap["instrument_token"]]
    tokens = {int(token) for token in np.unique(rows["instrument_token"])}
    gone = {t for t in before & tokens if np.any(of(rows, t)["connection"] == target)}
    assert gone == before == {gap["instrument_token"] for gap in told}
    for gap in told:
        own = of(rows, gap["instrument_token"])
        first_ns = int(own["receive_ts_ns"][own["connection"] == target][0])
        assert (gap["connection"], gap["end_ts_ns"]) == (target, first_ns)
        assert gap["reason"] == Reason.MOVED and gap["start_ts_ns"] < first_ns
    assert len(told) == len(before)
    judge_moves(run, witness)
    run.assert_nothing_left()


def of(rows: Array, token: int) -> Array:
    """Return the rows of one instrument."""
    return rows[rows["instrument_token"] == token]
