"""The two ways in which a latency is measured: idle processors kept awake, and left to halt.

Most of what a wake-up takes on a virtual machine is bringing a halted processor back, so the same
thing is measured with the kernel's request against it (`pipeline.core.cpu_latency`, which an
instance makes by `[instance] cpu_dma_latency_us`) and without. CPU that idle processors spend
polling is in no process's account: figures of CPU fall with the request although the machine works
more. Where the device cannot be written, or Linux has no cpuidle driver to heed it, there is one
way, the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from benchmarks.harness.bench import Bench
from pipeline.core.cpu_latency import (
    AWAKE_US,
    DEVICE,
    NOTHING_ASKED_US,
    HeldLatency,
    in_force_us,
    require_heeded,
)
from pipeline.core.errors import CpuLatencyRefused


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way; `label` goes behind the name of what is measured, and is empty where it is alone."""

    awake: bool
    label: str

    def key(self, name: str) -> str:
        """Return a quantity's key of its own for this way."""
        return f"{name}{self.label}"

    def held(self) -> AbstractContextManager[object]:
        """Return a context in which processors are so, for what the harness itself starts."""
        return HeldLatency(AWAKE_US) if self.awake else nullcontext()


_AWAKE: Final = Way(awake=True, label=", cores awake")
_HALTING: Final = Way(awake=False, label=", cores left to halt")
_ALONE: Final = Way(awake=False, label="")


def ways(bench: Bench) -> list[Way]:
    """Return the ways that this machine has: a latency is judged in the first, CPU in the last.

    A machine that has one only, or on which somebody else keeps the cores awake, gets a remark.
    """
    try:
        require_heeded()
    except CpuLatencyRefused as refused:
        bench.remarks.append(f"cores left to halt, not kept awake as well: {refused.found}")
        return [_ALONE]
    asked_us = in_force_us()
    if asked_us is not None and asked_us < NOTHING_ASKED_US:
        bench.remarks.append(
            f"cores were not left to halt: somebody else has {asked_us} us in force by /{DEVICE}"
        )
    return [_AWAKE, _HALTING]


def in_all(those: Sequence[Way], measure: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """Measure once each way, one after the other; return all samples by the ways' own keys."""
    found: dict[str, float] = {}
    for way in those:
        with way.held():
            found |= {way.key(name): value for name, value in measure().items()}
    return found
