"""From the exchange to a strategy process: the whole product, 3 connections x 3,000 instruments.

    [exchange] -> 3 x [feed] -> 3 x (frame ring) -> [decoder] -> 3 x (tick stream) -> [strategy]
         ^                                                                               |
         +---------------- sent minus delivered stays within half a tick stream ---------+

A regression here is what a user would notice: fewer ticks/s, or later ones.

Six processes share the machine, the generator among them, so throughput depends on the number of
cores and on the neighbours; CPU per tick does not, or less. Every packet is full and encoded
during the run. A figure counts only if the strategy process found every instrument's packets
without a hole, and was told of no loss. Latency is taken in the strategy's reader: from the return
of the read that brought the frame's last byte to the batch in which its first tick was handed out.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.figures import Report, Row
from benchmarks.run import PipelineRun, Shape, Window

PACED = 18_000.0


def _measure(benchmark: Any, shape: Shape, *, tiny: bool, rounds: int) -> list[Window]:
    windows: list[Window] = []
    seconds = 0.3 if tiny else 4.0

    def run() -> None:
        with PipelineRun(shape) as pipeline:
            for _ in range(1 if tiny else rounds):
                pipeline.watch(warm_s=0.2 if tiny else 1.0, seconds=seconds)
            windows.extend(pipeline.finish())

    benchmark.pedantic(run, rounds=1, iterations=1)
    return windows


def _cpu_line(window: Window) -> str:
    parts = sorted(window.cpu_ns_per_tick.items())
    return ", ".join(f"{name} {cost:,.0f}" for name, cost in parts)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("per_frame", [100, 10, 1])
def test_throughput(benchmark: Any, report: Report, tiny: bool, per_frame: int) -> None:
    if tiny and per_frame != 100:
        pytest.skip("one frame size is enough to see that it runs")
    group = "whole pipeline, as fast as the strategy takes it"
    windows = _measure(benchmark, Shape(per_frame=per_frame), tiny=tiny, rounds=3)
    rates = sorted(window.ticks_per_s for window in windows)
    costs = sorted(sum(window.cpu_ns_per_tick.values()) for window in windows)
    best, middle = costs[0], costs[len(costs) // 2]
    case = f"CPU of all processes, {per_frame} packets a frame"
    report.rows.append(Row(group, case, best, middle, "ns/tick", False))
    report.remarks.append(
        f"{group}, {per_frame} a frame: {rates[-1] / 1e6:.2f} M ticks/s delivered, none lost "
        f"(median {rates[len(rates) // 2] / 1e6:.2f} M); CPU ns/tick: "
        f"{_cpu_line(max(windows, key=lambda window: window.ticks_per_s))}"
    )
    benchmark.extra_info.update(best=best, unit="ns/tick", ticks_per_s=rates)
    assert rates[0] > 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("per_frame", [100, 1, 1000])
def test_latency(benchmark: Any, report: Report, tiny: bool, per_frame: int) -> None:
    if tiny and per_frame != 100:
        pytest.skip("one frame size is enough to see that it runs")
    shape = Shape(per_frame=per_frame, rate=PACED)
    windows = _measure(benchmark, shape, tiny=tiny, rounds=5)
    p50 = sorted(window.latency_ns["p50"] for window in windows)
    p99 = sorted(window.latency_ns["p99"] for window in windows)
    group = f"receive to strategy, {PACED:,.0f} ticks/s"
    frames = f"{PACED / per_frame:,.0f} x {per_frame} frames/s"
    report.rows.append(
        Row(group, f"p50, {frames}", p50[0] / 1e3, p50[len(p50) // 2] / 1e3, "us", False)
    )
    report.rows.append(
        Row(group, f"p99, {frames}", p99[0] / 1e3, p99[len(p99) // 2] / 1e3, "us", False)
    )
    window = min(windows, key=lambda window: window.latency_ns["p50"])
    busy = sum(cpu for name, cpu in window.cpu_s.items() if name.startswith(("feed", "decoder")))
    report.remarks.append(
        f"{group}, {frames}: feeds and decoder take {100 * busy / window.seconds:.1f} % of a core; "
        f"receive to publish p50 {window.publish_ns['p50'] / 1e3:.1f} us, "
        f"p99 {window.publish_ns['p99'] / 1e3:.1f} us; CPU ns/tick: {_cpu_line(window)}"
    )
    benchmark.extra_info.update(best=p50[0] / 1e3, unit="us", p50_ns=p50, p99_ns=p99)
