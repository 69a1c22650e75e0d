"""What brokers do to a pool, and what becomes of its ticks: refusals, outages, a dead control.

What is on a wire the exchange counts itself; what was lost the judge says, by the exchange's log.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import SegmentKind, State
from pipeline.core.instruments import SEGMENT_INDICES, simulated_tokens
from pipeline.shm.pages import StatusPage
from pipeline.sim.role import CONTROL_NAME
from pipeline.sim.truth import read_truth
from tests.system.judge import Array, Witness, control_of, judge, judge_moves
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for
from tests.system.test_pool import complete, end, rows_of

Make = Callable[..., Run]

FEED = "[feed]\nbackoff_min_s = 0.1\nbackoff_max_s = 0.5\n"
SECOND = '[[account]]\nname = "second"\nurl = "simulator"\napi_key = "demo2"\n'
PACKED = 'policy = "first_fit"\ninstruments_per_connection = 100\nheadroom = 0.0'
QUICK = "redistribute_after_s = 1.0\nrebalance_after_s = 2.0\nmoves_per_s = 1000\nheadroom = 0.0"
TWO_KEYS = f'{QUICK}\ninstruments_per_connection = 100\nhomes_file = "homes.sqlite"'


def whole_tokens(first: int, count: int) -> list[int]:
    """Return simulated instruments whose packets carry their whole sequence."""
    found = (t for t in simulated_tokens(first, count * 2) if t & 0xFF != SEGMENT_INDICES)
    return [token for token, _ in zip(found, range(count), strict=False)]


def ask_exchange(run: Run, name: str, **parameters: Any) -> dict[str, Any]:
    wait_for((run.paths.directory / CONTROL_NAME).exists, "the exchange to listen")
    with control_of(run) as control:
        answer: dict[str, Any] = control.command(name, **parameters)
    return answer


def sockets(run: Run) -> list[dict[str, Any]]:
    """Return what the exchange says of its open connections."""
    return [client for client in ask_exchange(run, "stat")["clients"] if client["open"]]


def by_key(run: Run) -> dict[str, int]:
    """Return how many instruments the exchange has subscribed for each key."""
    counts: Counter[str] = Counter()
    for client in sockets(run):
        counts[client["key"]] += client["subscribed"]
    return {key: count for key, count in counts.items() if count}


def counts_of(run: Run) -> dict[int, int]:
    """Return how many instruments each connection is assigned."""
    return {number: len(rows) for number, rows in rows_of(run).items()}


def used(run: Run) -> list[int]:
    """Return the connections that are assigned anything."""
    return [number for number, count in counts_of(run).items() if count]


def complete_on(run: Run, numbers: Iterable[int]) -> bool:
    return all(run.is_complete(number) for number in numbers)


@pytest.mark.parametrize(("crossing", "taken"), [("part", 60), ("whole", 50)])
def test_what_a_connection_does_not_take_ticks_on_another(
    make_run: Make, crossing: str, taken: int
) -> None:
    run = make_run(pool=PACKED).start_and_wait()
    tokens = simulated_tokens(0, 100)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens[:50])
        complete(run, 50)
        ask_exchange(run, "instrument_limit", limit=60, crossing=crossing)
        client.subscribe(tokens[50:])
        wait_for(
            lambda: sorted(c["subscribed"] for c in sockets(run)) == [100 - taken, taken],
            "what is over the limit to be on another connection",
        )
        complete(run, 100)
        assert counts_of(run) == {0: taken, 1: 100 - taken}
        assert ask_exchange(run, "stat")["sessions"] == 2  # nobody was thrown out
        assert run.stop() == 0
    assert run.log.read_text().count("that do not tick go elsewhere") == 1
    run.assert_nothing_left()


def test_an_outage_moves_all_and_its_end_brings_them_back(make_run: Make) -> None:
    pool = f'open = "all"\ninstruments_per_connection = 200\n{QUICK}'
    run = make_run(pool=pool, more=FEED, count=200).start_and_wait()
    witness = Witness(run)
    tokens = whole_tokens(0, 300)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        complete(run, 300)
        wait_for(lambda: counts_of(run) == {0: 100, 1: 100, 2: 100}, "an even spread")
        lost = {int(row["instrument_token"]) for row in rows_of(run)[1]}
        ask_exchange(run, "refuse", status=503, seconds=3600)
        began_ts_ns = time.time_ns()
        ask_exchange(run, "reset", connection=1)
        wait_for(lambda: counts_of(run) == {0: 150, 1: 0, 2: 150}, "its instruments to move")
        wait_for(lambda: complete_on(run, (0, 2)), "all of them to tick elsewhere")
        ask_exchange(run, "admit")
        wait_for(lambda: run.state(1) in (State.LIVE, State.QUIET), "it to come back")
        wait_for(lambda: counts_of(run) == {0: 100, 1: 100, 2: 100}, "the balance to return")
        complete(run, 300)
        end(run, witness)
    verdict, handovers = judge_moves(run, witness)
    assert verdict.gaps == len(witness.gap_reasons(1))  # the others had none
    print(f"all tick elsewhere after {elsewhere_s(witness, lost, began_ts_ns):.2f} s; {handovers}")
    run.assert_nothing_left()


@pytest.mark.full
def test_an_outage_of_a_large_connection_costs_no_tick_of_the_others(make_run: Make) -> None:
    """How long it takes, `bench failover` says."""
    pool = f'open = "all"\ninstruments_per_connection = 3000\n{QUICK}'
    simulator = 'rate = "max"\ninterval_s = 0.5'
    run = make_run(pool=pool, more=FEED, count=3000, simulator=simulator).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        client.subscribe(whole_tokens(0, 4400))
        complete(run, 4400)
        lost = {int(row["instrument_token"]) for row in rows_of(run)[1]}
        ask_exchange(run, "refuse", status=503, seconds=3600)
        began_ts_ns = time.time_ns()
        ask_exchange(run, "reset", connection=1)
        wait_for(lambda: counts_of(run)[1] == 0 and complete_on(run, (0, 2)), "them to tick")
        # A snapshot may say what connection 1 had said: that is a repetition, and no tick.
        tails = {number: run.tick_tail(number) + 2 * 2200 for number in (0, 2)}
        wait_for(lambda: all(run.tick_tail(n) > tails[n] for n in (0, 2)), "news of all of them")
        end(run, witness)
    judge_moves(run, witness)
    seconds = elsewhere_s(witness, lost, began_ts_ns)
    print(f"{len(lost)} instruments tick elsewhere after {seconds:.2f} s")


def elsewhere_s(witness: Witness, tokens: set[int], began_ts_ns: int) -> float:
    """Return when the last of the instruments ticked on another connection than 1, in seconds."""
    rows: Array = witness.rows()
    rows = rows[(rows["connection"] != 1) & np.isin(rows["instrument_token"], list(tokens))]
    found, first = np.unique(rows["instrument_token"], return_index=True)
    assert set(found.tolist()) == tokens
    last: int = rows["receive_ts_ns"][first].max()
    return (last - began_ts_ns) / 1e9


def test_a_limited_key_gives_way_to_another(make_run: Make) -> None:
    pool = TWO_KEYS.replace("redistribute_after_s = 1.0\n", "")  # as it is by default
    run = make_run(pool=pool, more=FEED + SECOND).start_and_wait()
    ask_exchange(run, "refuse", status=429, seconds=3600, key="demo", retry_after_s=1)
    tokens = simulated_tokens(0, 140)
    with PoolClient(run, "t") as client:
        began = time.monotonic()
        client.subscribe(tokens[:80])
        wait_for(lambda: by_key(run) == {"demo2": 80}, "the other key to have them")
        print(f"on the other key after {time.monotonic() - began:.2f} s")
        client.subscribe(tokens[80:])
        wait_for(lambda: by_key(run) == {"demo2": 140}, "it to have the new ones, too")
        wait_for(lambda: complete_on(run, used(run)), "all of them to tick")
        ask_exchange(run, "admit")
        wait_for(lambda: by_key(run).get("demo", 0) > 0, "the first key to have its part again")
        wait_for(lambda: is_even(run, 140), "the balance to return")
        complete(run, 140)
        assert run.stop() == 0
    assert "account exchange is limited (429)" in run.log.read_text()
    run.assert_nothing_left()


def is_even(run: Run, total: int) -> bool:
    """Whether the open connections carry so many instruments together, and equal parts."""
    counts = [client["subscribed"] for client in sockets(run)]
    return sum(counts) == total and bool(max(counts) - min(counts) <= 1)


def write_token(folder: Path, token: str) -> None:
    temporary = folder / "token.new"
    temporary.touch(0o600)
    temporary.write_text(token)
    temporary.replace(folder / "token")


def test_a_rejected_key_gives_way_until_it_has_another_token(
    make_run: Make, tmp_path: Path
) -> None:
    write_token(tmp_path, "demo")
    account = 'access_token = "file:token"'
    run = make_run(pool=TWO_KEYS, more=FEED + SECOND, account=account).start_and_wait()
    witness = Witness(run)
    with PoolClient(run, "t") as client:
        client.subscribe(whole_tokens(0, 80))
        complete(run, 80)
        # On a busy machine one may take so long to connect that it is taken for gone at first.
        wait_for(lambda: by_key(run) == {"demo": 40, "demo2": 40}, "an even spread")
        revoked = sum(client["key"] == "demo" for client in sockets(run))
        ask_exchange(run, "revoke_token", key="demo")
        ask_exchange(run, "reset", key="demo")
        wait_for(lambda: by_key(run) == {"demo2": 80}, "the other key to have them")
        # Each tries once at most, and not again.
        assert 1 <= ask_exchange(run, "stat")["handshakes_refused"] <= revoked
        ask_exchange(run, "rotate_token", key="demo", token="another")
        write_token(tmp_path, "another")
        wait_for(lambda: by_key(run) == {"demo": 40, "demo2": 40}, "the balance to return")
        complete(run, 80)
        end(run, witness)
    verdict, handovers = judge_moves(run, witness)
    assert 1 <= verdict.gaps <= revoked, verdict
    print(handovers)
    run.assert_nothing_left()


@pytest.mark.parametrize(
    "seconds", [3.0, pytest.param(30.0, marks=pytest.mark.full)], ids=["3 s", "30 s"]
)
def test_a_control_process_that_stays_dead_costs_nothing(make_run: Make, seconds: float) -> None:
    """One that hangs is killed with SIGKILL, and its successor waits for the back-off."""
    more = f"[supervisor]\nrestart_backoff_s = [{seconds}]\n"
    pool = "instruments_per_connection = 100\nheadroom = 0.0\nlinger_s = 0.5"
    run = make_run(pool=pool, more=more, simulator='rate = "max"\ninterval_s = 0.05')
    run.start_and_wait()
    witness = Witness(run)
    tokens = simulated_tokens(0, 300)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens)
        complete(run, 300)
    before, sessions = rows_of(run), sessions_of(run)
    run.kill("control 0", signal.SIGSTOP)
    wait_for(lambda: run.pid("control 0") == 0, "the supervisor to kill it")
    died_ns, tails = monotonic_ns(), {number: run.tick_tail(number) for number in run.numbers}
    wait_for(lambda: run.pid("control 0"), "its successor", seconds=seconds + 40)
    print(f"without it for {(monotonic_ns() - died_ns) / 1e9:.1f} s")
    assert all(run.tick_tail(number) > tails[number] for number in run.numbers)
    page = StatusPage(run.attach(SegmentKind.CONTROL_STATUS)).record
    wait_for(lambda: int(page["desired"]) == int(page["assigned"]) == 300, "it to adopt them")
    with PoolClient(run, "t") as client:
        assert client.subscribe(tokens)["already"] == 300
        after = rows_of(run)
        assert after.keys() == before.keys()
        assert all(np.array_equal(np.sort(after[n]), np.sort(before[n])) for n in before)
        assert sessions_of(run) == sessions  # no reconnect, and not one message
        end(run, witness)
    verdict = judge(run, witness)
    assert verdict.lost == 0 and verdict.gaps == 0
    assert len(np.unique(np.array(read_truth(run.folder / "truth.bin"))["session"])) == 3
    run.assert_nothing_left()


def sessions_of(run: Run) -> dict[int, tuple[int, int]]:
    """Return for each session of the exchange what is subscribed, and how many messages came."""
    return {c["session"]: (c["subscribed"], c["commands"]) for c in sockets(run)}
