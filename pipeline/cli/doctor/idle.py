"""Check of idle processors: whether they halt, and whether that may be changed. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.cli.doctor.finding import Finding, Level, Machine
from pipeline.core.config import Config
from pipeline.core.cpu_latency import require_heeded
from pipeline.core.errors import CpuLatencyRefused

_SUBJECT: Final = "idle processors"


def check(machine: Machine, config: Config) -> Iterator[Finding]:
    """Whether `cpu_dma_latency_us` has its way; where it is not set, whether it would."""
    wanted_us = config.instance.cpu_dma_latency_us
    refused = None
    try:
        require_heeded(machine.root)
    except CpuLatencyRefused as error:
        refused = error
    if wanted_us is None:
        would = "keep them awake: tuning.md says what it wins and costs"
        if refused is not None:
            would = f"have no effect: {refused.found}"
        text = f"may halt; [instance] cpu_dma_latency_us = 0 would {would}"
        yield Finding(Level.OK, _SUBJECT, text)
    elif refused is None:
        text = f"will be asked to wake up within {wanted_us} us (cpu_dma_latency_us)"
        yield Finding(Level.OK, _SUBJECT, text)
    else:
        text = f"cpu_dma_latency_us = {wanted_us} will have no effect: {refused.found}"
        yield Finding(Level.WARN, _SUBJECT, text, refused.mend)
