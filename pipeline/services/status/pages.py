"""Small helpers for reading status pages. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from ext.cells import Histogram
from pipeline.core import layout
from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import SegmentKind
from pipeline.services.status.model import Latency
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment


def attach(paths: InstancePaths, kind: SegmentKind, number: int) -> Segment:
    """Map a segment read-only."""
    return Segment.attach(paths.segment(kind, number), kind)


def text(raw: np.ndarray[Any, Any]) -> str:
    """Return a fixed array of bytes as text, up to its padding."""
    return bytes(raw.tobytes()).rstrip(b"\0").decode("utf-8", "replace")


def age_s(then_mono_ns: int, now_mono_ns: int) -> float | None:
    """Return how long ago a monotonic time was; None for 0, which means never."""
    return None if then_mono_ns == 0 else max(0, now_mono_ns - then_mono_ns) / NS_PER_S


def latency(segment: Segment, struct: str, field: str) -> Latency:
    """Return the percentiles of a histogram of a page."""
    offset = layout.data_offset + int(layout.dtypes[struct].fields[field][1])  # type: ignore[index]
    histogram = Histogram(segment.mapping, offset)
    return Latency(
        samples=histogram.total,
        p50_ns=histogram.quantile(0.5),
        p99_ns=histogram.quantile(0.99),
        p999_ns=histogram.quantile(0.999),
        max_ns=int(segment.record(struct)[field]["max"]),
    )


def counters(record: np.ndarray[Any, Any]) -> dict[str, int]:
    """Return every unsigned 64-bit field of a struct by name: its counters."""
    names = record.dtype.names or ()
    return {n: int(record[n]) for n in names if record.dtype[n] == np.uint64}
