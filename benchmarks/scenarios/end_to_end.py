"""From the exchange to a strategy process, as fast as it takes the ticks; and KiteTicker the same.

    [exchange] -> 3 x [feed] -> 3 x (frame ring) -> [decoder] -> 3 x (tick stream) -> [strategy]
         ^                                                                               |
         +---------------- sent minus delivered stays within half a tick stream ---------+

A regression here is what a user would notice: fewer ticks/s. Every packet is full, encoded during
the run and different from the others; a tick counts once the strategy process has it, and the run
fails if one was lost or doubled. KiteTicker gets the same exchange, ungated: its socket holds it
back. Wall time for ticks/s, because that is the promise; CPU of all processes beside it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.exchange import CERTIFICATES_NEED
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.kite_peer import KiteTickerRun
from benchmarks.run import PipelineRun, Shape

_GOALS = {
    100: Goal(must=5.0, aim=9.0, floor=2.0, ahead={"KiteTicker": 130}),
    10: Goal(must=2.5, aim=5.0),
    1: Goal(must=0.8, aim=1.5),
}


def _ours(bench: Bench, shape: Shape) -> dict[str, float]:
    warm_s = bench.pick(tiny=0.2, quick=0.7, full=1.0)
    seconds = bench.pick(tiny=0.3, quick=2.0, full=3.0)
    with PipelineRun(shape) as pipeline:
        pipeline.watch(warm_s=warm_s, seconds=seconds)
        [window] = pipeline.finish()
    costs = window.cpu_ns_per_tick
    bench.remarks.append(
        f"{shape.per_frame} packets a frame: {window.ticks_per_s / 1e6:.2f} M ticks/s; "
        "CPU ns/tick: " + ", ".join(f"{name} {cost:.0f}" for name, cost in sorted(costs.items()))
    )
    own = sum(cost for name, cost in costs.items() if name != "simulator")
    return {"rate": window.ticks_per_s / 1e6, "cpu": own}


def run(bench: Bench, *, per_frame: int, tls: bool = False, goal: Goal | None = None) -> None:
    """Measure ours and KiteTicker in turn, at one frame size."""
    if tls and not bench.has(CERTIFICATES_NEED, "TLS"):
        return
    shape = Shape(per_frame=per_frame, tls=tls)
    peer = KiteTickerRun(
        per_frame=per_frame, tls=tls, seconds=bench.pick(tiny=0.3, quick=1.0, full=2.0)
    )  # fmt: skip
    cases = [
        Case(name=OURS, measure=partial(_ours, bench, shape)),
        Case(name="KiteTicker", measure=peer.measure, package="kiteconnect"),
    ]
    group = f"end to end{' over TLS' if tls else ''}, {per_frame} packets a frame"
    quantities = [
        Quantity(key="rate", group=group, unit="M ticks/s", higher_is_better=True, goal=goal),
        Quantity(key="cpu", group=f"{group}: CPU without the exchange", unit="ns/tick, CPU"),
    ]
    bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=1, full=3))


SCENARIOS = [
    Scenario(
        name=f"end-to-end-{per_frame}",
        about=f"exchange to strategy process, {per_frame} full packets a frame, ticks/s delivered",
        run=partial(run, per_frame=per_frame, goal=goal),
    )
    for per_frame, goal in _GOALS.items()
] + [
    Scenario(
        name="end-to-end-tls-100",
        about="the same over TLS, 100 full packets a frame",
        run=partial(run, per_frame=100, tls=True, goal=Goal(must=2.5, aim=4.0)),
    )
]
