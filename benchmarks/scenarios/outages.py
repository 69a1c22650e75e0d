"""A connection fails: how long until its instruments tick again, on others or by itself.

    failover: [exchange: resets 1, refuses it] -> 3 x [feed] -> [decoder] -> [a reader]
                                  [control: moves what 1 carried to 0 and 2]
    stall:    [exchange: mutes 1] -> [feed 1: asks, gives up, connects anew] -> [a reader]
    token:    [exchange: rejects the token] -> [feed: waits for another] -> [a reader]

A regression here is a longer blind moment for every instrument of a connection that fails.

Four ticks a second come of each instrument.

`failover`: a pool of 4,400 instruments on three connections, which each have room for 3,000. From
the reset until each instrument of the lost connection had a tick that another one received. In it
are the 3 s of `[pool] redistribute_after_s`, counted from when the pool last saw it well, which may
be a look before the reset.

`stall`: one of three connections says nothing any more, not even a pong, and its socket stays open;
with the timeouts of the default config. From its last tick to its next one.

`token`: the token of a connection is rejected, as each morning. From the moment that its file says
another one to the next tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import numpy as np

import pipeline
from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import DEADLINE_S, PipelineRun, Shape
from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import State
from pipeline.sim.control import ControlClient
from pipeline.sim.role import CONTROL_NAME

LOST: Final = 1
_RATE: Final = 4.0
_FOR_GOOD_S: Final = 3600.0
_NEW_TOKEN: Final = "another"  # of an exchange that knows no secret


def _shape(instruments: int, *, connections: int = 3, per_frame: int = 10, **more: Any) -> Shape:
    return Shape(
        per_frame=per_frame, rate=_RATE * connections * instruments, connections=connections,
        instruments=instruments, **more,
    )  # fmt: skip


class Outage:
    """A context: a pipeline whose instruments all tick, a reader of it, and its exchange."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._stack = ExitStack()

    def __enter__(self) -> Outage:
        with self._stack as stack:
            self.run = run = stack.enter_context(PipelineRun(self._shape))
            count = self._shape.connections * self._shape.instruments
            run.wait_for(lambda: run.confirmed() == count, "a tick of each instrument")
            name, root = run.paths.name, run.paths.root
            self.market = stack.enter_context(
                pipeline.attach(name, shm_directory=root, name="observer")
            )
            channel = run.paths.directory / CONTROL_NAME
            self.exchange = stack.enter_context(ControlClient(channel, timeout_s=DEADLINE_S))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def ticks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield what is received from now on, for as long as anybody may wait for it."""
        until_ns = monotonic_ns() + round(DEADLINE_S * NS_PER_S)
        for ticks in self.market.batches(timeout_s=0.1):
            yield ticks
            if monotonic_ns() > until_ns:
                raise RuntimeError("waited in vain for the ticks of the connection that failed")


def _elsewhere_ns(outage: Outage, tokens: list[int], since_ns: int) -> int:
    """Return when the last of some instruments was first received on a connection that is up."""
    waiting, last_ns = np.array(tokens, np.uint32), since_ns
    for ticks in outage.ticks():
        came = ticks[(ticks["connection"] != LOST) & (ticks["receive_mono_ns"] > since_ns)]
        came = came[np.isin(came["instrument_token"], waiting)]
        if len(came):
            found, first = np.unique(came["instrument_token"], return_index=True)
            last_ns = max(last_ns, int(came["receive_mono_ns"][first].max()))
            waiting = np.setdiff1d(waiting, found)
        if not len(waiting):
            break
    return last_ns


def _failover_s(shape: Shape) -> float:
    with Outage(shape) as outage:
        lost = outage.run.assigned()[LOST]
        outage.exchange.command("refuse", status=503, seconds=_FOR_GOOD_S)
        began_ns = monotonic_ns()
        outage.exchange.command("reset", connection=LOST)
        last_ns = _elsewhere_ns(outage, lost, began_ns)
        outage.run.finish(gaps=True)
    return (last_ns - began_ns) / NS_PER_S


def failover(bench: Bench) -> None:
    """Lose one connection of a pool after the other."""
    instruments = bench.pick(tiny=50, quick=1467, full=1467)
    shape = _shape(instruments, per_frame=100, pooled=True, spare=instruments)
    rounds = bench.rounds(bench.pick(tiny=1, quick=1, full=3))
    quantity = Quantity(
        key="s", group="connection lost, until all it had ticks elsewhere, 3 s of grace included",
        unit="s", goal=Goal(must=4.0, aim=3.3, floor=5.0),
    )  # fmt: skip
    bench.note(quantity, OURS, [_failover_s(shape) for _ in rounds])


def _stall_s(shape: Shape) -> float:
    with Outage(shape) as outage:
        last_ns, longest_ns = monotonic_ns(), 0
        outage.exchange.command("mute", connection=LOST, seconds=_FOR_GOOD_S)
        for ticks in outage.ticks():
            came = ticks["receive_mono_ns"][ticks["connection"] == LOST].astype(np.int64)
            if not len(came):
                continue
            longest_ns = int(np.diff(came, prepend=last_ns).max())
            last_ns = int(came[-1])
            if longest_ns > NS_PER_S:
                break
        outage.run.finish(gaps=True)
    return longest_ns / NS_PER_S


def stall(bench: Bench) -> None:
    """Mute one connection after the other."""
    shape = _shape(bench.pick(tiny=50, quick=300, full=300))
    rounds = bench.rounds(bench.pick(tiny=1, quick=1, full=3))
    quantity = Quantity(
        key="s", group="connection silent, from its last tick to its next", unit="s",
        goal=Goal(must=7.0, floor=7.0),
    )  # fmt: skip
    bench.note(quantity, OURS, [_stall_s(shape) for _ in rounds])


def _token_s(shape: Shape) -> float:
    (key,) = shape.keys
    with Outage(shape) as outage:
        outage.exchange.command("revoke_token", key=key)
        outage.exchange.command("reset", key=key)
        outage.run.wait_for(lambda: outage.run.states() == [State.AUTH_EXPIRED.name], "the refusal")
        outage.exchange.command("rotate_token", key=key, token=_NEW_TOKEN)
        began_ns = monotonic_ns()
        outage.run.write_token(key, _NEW_TOKEN)
        for ticks in outage.ticks():
            times = ticks["receive_mono_ns"]
            if (times > began_ns).any():
                break
        outage.run.finish(gaps=True)
    return (int(times[times > began_ns].min()) - began_ns) / NS_PER_S


def token(bench: Bench) -> None:
    """Reject a token, and give another one."""
    count = bench.pick(tiny=50, quick=300, full=300)
    shape = _shape(count, connections=1, token_files=True)
    rounds = bench.rounds(bench.pick(tiny=1, quick=1, full=3))
    quantity = Quantity(
        key="s", group="token rejected, from another one in its file to the next tick", unit="s",
        goal=Goal(must=2.0, floor=2.0),
    )  # fmt: skip
    bench.note(quantity, OURS, [_token_s(shape) for _ in rounds])


SCENARIOS = [
    Scenario(
        name="failover", about="connection lost: time until all it had ticks elsewhere",
        run=failover,
    ),
    Scenario(
        name="stall", about="connection silent: time from its last tick to its next", run=stall
    ),
    Scenario(name="token", about="a new token: time from its file to the next tick", run=token),
]  # fmt: skip
