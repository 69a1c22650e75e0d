"""Percentiles of a stretch of time equal those of a histogram that began with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.services.status.latencies import between
from pipeline.shm import specs
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment


def page(path: Path) -> StatusPage:
    return StatusPage(Segment.create(path, specs.reader(), instance_id=bytes(16)))


@pytest.mark.parametrize("scale", [40.0, 3e3, 5e6, 1e9])
def test_what_came_before_does_not_count(tmp_path: Path, scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    whole, part = page(tmp_path / "whole"), page(tmp_path / "part")
    for value in random.exponential(1e9, 500):
        whole.histogram("latency").record(int(value))
    before = whole.record["latency"]["counts"].copy()
    for value in random.exponential(scale, 2000):
        for one in (whole, part):
            one.histogram("latency").record(int(value))
    found = between(before, whole.record["latency"]["counts"].copy())
    expected = part.histogram("latency")
    assert found.samples == expected.total == 2000
    longest = int(part.record["latency"]["max"])
    for quantile, value in ((0.5, found.p50_ns), (0.99, found.p99_ns), (0.999, found.p999_ns)):
        assert min(value, longest) == expected.quantile(quantile)


def test_without_samples_all_is_zero() -> None:
    counts = np.ones(2048, np.uint64)
    assert between(counts, counts).samples == between(counts, counts).p999_ns == 0
    assert between(None, counts).samples == 2048
