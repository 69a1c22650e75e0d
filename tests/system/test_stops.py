"""SIGSTOP of every process in turn, and kill -9 of those that nobody restarts.

Who hangs is replaced; what is lost lies inside what was announced; a strategy that was away is
told the exact number; and nobody else notices.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np

from pipeline.core.enums import Reason, SegmentKind, State
from tests.system.judge import Witness, assert_contiguous, judge, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]

IMPATIENT = """
[supervisor]
hang_timeout_s = 0.5
[feed]
ping_after_s = 0.5
stall_after_s = 1.0
connect_timeout_s = 1.0
"""
LOAD = 'rate = "max"\ninterval_s = 0.01'
RINGS = "packets_per_instrument_per_s = 100.0"
ROLES = ("simulator", "decoder 0", "feed 0", "feed 1", "feed 2")


def wait_until_complete(run: Run) -> None:
    """Wait until every connection is live with all that was asked for."""
    for connection in range(run.connections):
        wait_for(lambda n=connection: run.is_complete(n), "the connection to be complete")  # type: ignore[misc]


def stop_and_await_successor(run: Run, name: str) -> None:
    """Stop a process; the supervisor has to find that it hangs, and replace it."""
    pid = run.kill(name, signal.SIGSTOP)
    wait_for(lambda: run.pid(name) not in (0, pid), f"a successor of {name}")


def end(run: Run, *witnesses: Witness) -> None:
    """Let everything arrive, look at the counters, and end the run."""
    run_dry(run, *witnesses)
    assert run.stop() == 0
    for witness in witnesses:
        witness.finish()


def test_stopped_stages_are_replaced_and_losses_announced(make_run: Make) -> None:
    run = make_run(more=IMPATIENT)
    witness = Witness(run)
    run.start_and_wait()
    stop_and_await_successor(run, "decoder 0")
    stop_and_await_successor(run, "feed 1")
    wait_until_complete(run)
    assert witness.gap_reasons(0) == witness.gap_reasons(2) == []
    end(run, witness)
    assert witness.gap_reasons(1)[:1] == [Reason.PROCESS_HUNG]
    judge(run, witness)
    run.assert_nothing_left()


def test_a_silent_exchange_is_found_and_told_as_a_stall(make_run: Make) -> None:
    run = make_run(more=IMPATIENT.replace("0.5\n[feed]", "600\n[feed]"))
    witness = Witness(run)
    run.start_and_wait()
    wait_for(lambda: {*witness.rows()["connection"]} == {0, 1, 2}, "ticks of every connection")
    epochs = [int(run.page(connection)["connection_epoch"]) for connection in range(3)]
    pid = run.kill("simulator", signal.SIGSTOP)
    for connection in range(3):
        wait_for(
            lambda n=connection: int(run.page(n)["connection_epoch"]) > epochs[n],  # type: ignore[misc]
            "the silence to be found",
        )
    assert run.kill("simulator", signal.SIGCONT) == pid
    wait_until_complete(run)
    end(run, witness)
    assert [witness.gap_reasons(n)[:1] for n in range(3)] == [[Reason.STALL]] * 3
    judge(run, witness)
    run.assert_nothing_left()


def test_a_stopped_exchange_is_replaced_and_its_clients_come_back(make_run: Make) -> None:
    run = make_run(more=IMPATIENT)
    witness = Witness(run)
    run.start_and_wait()
    wait_for(lambda: {*witness.rows()["connection"]} == {0, 1, 2}, "ticks of every connection")
    others = [run.pid(name) for name in ROLES[1:]]
    epochs = [int(run.page(connection)["connection_epoch"]) for connection in range(3)]
    stop_and_await_successor(run, "simulator")
    for connection in range(3):
        wait_for(
            lambda n=connection: int(run.page(n)["connection_epoch"]) > epochs[n],  # type: ignore[misc]
            "another connection",
        )
    wait_until_complete(run)
    assert [run.pid(name) for name in ROLES[1:]] == others
    # No verdict: what the killed one had sent and not yet written is missing from its truth log.
    end(run, witness)
    for connection in range(3):
        assert witness.gap_reasons(connection)[0] in (Reason.EOF, Reason.RESET, Reason.STALL)
    assert "simulator (process" in run.log.read_text()
    run.assert_nothing_left()


def test_a_decoder_that_was_away_too_long_announces_exactly_what_it_lost(make_run: Make) -> None:
    run = make_run(simulator=LOAD, rings="frame_bytes = 131072")
    witness = Witness(run)
    run.start_and_wait()
    rings = [run.attach(SegmentKind.FRAMES, n).record("RingControlC") for n in (0, 1)]
    run.kill("decoder 0", signal.SIGSTOP)
    tails = [int(ring["tail"]) for ring in rings]
    wait_for(
        lambda: all(int(r["oldest"]) > tail for r, tail in zip(rings, tails, strict=True)),
        "two frame rings to go round",
    )
    run.kill("decoder 0", signal.SIGCONT)
    end(run, witness)
    assert witness.told("Gap") == []
    overruns = witness.told("Overrun")
    assert {o["connection"] for o in overruns} >= {0, 1}
    assert {o["stage"] for o in overruns} == {"decoder"}
    verdict = judge(run, witness)
    assert verdict.lost == 100 * sum(o["lost"] for o in overruns), "100 ticks in every frame"
    run.assert_nothing_left()


def test_a_stopped_strategy_learns_the_exact_number_that_it_lost(make_run: Make) -> None:
    run = make_run(simulator=LOAD, rings=RINGS)
    witness, sleeper = Witness(run), Witness(run, "sleeper")
    run.start_and_wait()
    for _ in range(2):
        wait_for(lambda: sleeper.rows().size > 1000, "the sleeper to read")
        sleeper.kill(signal.SIGSTOP)
        tails = [run.tick_tail(connection) for connection in range(3)]
        wait_for(
            lambda tails=tails: all(run.tick_tail(n) > tails[n] + 17_000 for n in range(3)),  # type: ignore[misc]
            "the streams to go round",
        )
        sleeper.kill(signal.SIGCONT)
    end(run, witness, sleeper)
    assert judge(run, witness).lost == 0
    lapped = [o for o in sleeper.told("Overrun") if o["stage"] == "reader"]
    assert {o["connection"] for o in lapped} == {0, 1, 2}
    assert_contiguous(sleeper.rows(), sleeper.told())
    mine, all_of_it = sleeper.rows(), witness.rows()
    for connection in range(3):
        seen = all_of_it[all_of_it["connection"] == connection]
        got = mine[mine["connection"] == connection]
        lost = sum(o["lost"] for o in lapped if o["connection"] == connection)
        assert len(got) + lost == len(seen)
        assert np.array_equal(got["content"], seen["content"][got["tick_sequence"] - 1])
    run.assert_nothing_left()


def test_a_killed_strategy_is_swept_away_and_the_others_go_on(make_run: Make) -> None:
    run = make_run()
    witness, victim = Witness(run), Witness(run, "victim")
    run.start_and_wait()
    wait_for(lambda: victim.rows().size, "the victim to read")
    victim.kill()
    victim.process.wait(10)
    wait_for(lambda: not victim.page_path.exists(), "its page to be swept away")
    end(run, witness)
    assert judge(run, witness).lost == 0
    assert witness.told("Gap") == witness.told("Overrun") == []
    assert "reader victim." in run.log.read_text()
    run.assert_nothing_left()


def test_a_stopped_supervisor_accuses_nobody_and_a_killed_one_takes_all_along(
    make_run: Make,
) -> None:
    run = make_run(more=IMPATIENT)
    witness = Witness(run)
    run.start_and_wait()
    pids = [run.pid(name) for name in ROLES]
    assert run.process is not None
    run.process.send_signal(signal.SIGSTOP)
    tails = [run.tick_tail(connection) for connection in range(3)]
    time.sleep(1.5)  # longer than the second after which it was away, and than the hang timeout
    assert all(run.tick_tail(n) > tails[n] for n in range(3)), "data go on without it"
    run.process.send_signal(signal.SIGCONT)
    time.sleep(0.7)
    assert [run.pid(name) for name in ROLES] == pids
    run_dry(run, witness)
    run.assert_balanced()
    began = time.monotonic()
    assert run.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not (set(run.running()) - {witness.process.pid}), "its children to die")
    witness.finish()
    print(f"all gone, and the strategy told, {time.monotonic() - began:.2f} s after the kill")
    assert judge(run, witness).lost == 0 and witness.told("Gap") == []
    run.start_and_wait()
    assert run.state(0) is State.LIVE
    assert run.stop() == 0
    run.assert_nothing_left()
