"""Percentiles between two looks at a histogram in shared memory. Floor 4; pure.

A page's histogram counts since its process began. What a person asks for is mostly a stretch of
time, without what came before: the difference of the counts at its two ends. The last bucket takes
all above 136 s, and the maximum of a stretch is that of its highest bucket.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.services.status.model import Latency

Counts = np.ndarray[Any, Any]

_EXACT = 128  # values below have a bucket each; above, each power of two has 64 (ext/histogram.h)
_PER_POWER = 64


def between(before: Counts | None, after: Counts) -> Latency:
    """Return the percentiles of the samples in `after` that `before` had not; both (n,) counts."""
    counts = after.astype(np.int64) if before is None else (after - before).astype(np.int64)
    samples = int(counts.sum())
    if not samples:
        return Latency(samples=0, p50_ns=0, p99_ns=0, p999_ns=0, max_ns=0)
    seen = np.cumsum(counts)
    values = [_value_max(_bucket(seen, samples, q)) for q in (0.5, 0.99, 0.999, 1.0)]
    p50, p99, p999, largest = values
    return Latency(samples=samples, p50_ns=p50, p99_ns=p99, p999_ns=p999, max_ns=largest)


def _bucket(seen: Counts, samples: int, quantile: float) -> int:
    wanted = max(1, int(quantile * samples + 0.5))
    return int(np.searchsorted(seen, wanted))


def _value_max(bucket: int) -> int:
    """Return the largest value that falls into a bucket, as ext/histogram.h has it."""
    if bucket < _EXACT:
        return bucket
    exponent = bucket // _PER_POWER - 1
    return ((bucket - exponent * _PER_POWER + 1) << exponent) - 1
