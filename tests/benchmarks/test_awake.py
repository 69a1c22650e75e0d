"""Both ways of idling: what is measured in which, and what is said where there is but one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.harness import awake
from benchmarks.harness.bench import Bench, Size
from pipeline.core.cpu_latency import HeldLatency, require_heeded
from tests.idle_machine import add_device, add_driver


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(Size.TINY, seconds_max=60)
    with made.stack:
        yield made


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for the device, below the folder that stands for the root."""
    monkeypatch.setattr(awake, "require_heeded", lambda: require_heeded(tmp_path))
    monkeypatch.setattr(awake, "in_force_us", lambda: awake.NOTHING_ASKED_US)
    monkeypatch.setattr(awake, "HeldLatency", lambda value: HeldLatency(value, root=tmp_path))
    return add_device(tmp_path)


def test_the_first_way_is_awake_and_each_quantity_has_a_key_of_each(
    bench: Bench, device: Path
) -> None:
    asked: list[int] = []

    def measure() -> Mapping[str, float]:
        asked.append(len(device.read_bytes()))
        device.write_bytes(b"")
        return {"p50": len(asked)}

    both = awake.ways(bench)
    assert [way.awake for way in both] == [True, False]
    found = awake.in_all(both, measure)
    assert found == {"p50, cores awake": 1, "p50, cores left to halt": 2}
    assert asked == [4, 0]  # bytes: the second time nobody asked
    assert bench.remarks == []


def test_without_the_device_the_plain_way_stays_and_that_is_said_once(
    bench: Bench, device: Path
) -> None:
    device.unlink()
    [way] = awake.ways(bench)
    assert (way.awake, way.key("p50")) == (False, "p50")
    [remark] = bench.remarks
    assert "No such file" in remark


def test_without_a_driver_the_plain_way_stays_and_no_core_is_called_awake(
    bench: Bench, device: Path, tmp_path: Path
) -> None:
    add_driver(tmp_path, "none\n")
    [way] = awake.ways(bench)
    assert (way.awake, way.key("p50")) == (False, "p50")
    [remark] = bench.remarks
    assert "not kept awake as well: Linux has no cpuidle driver here" in remark
    assert "setting" not in remark  # the harness has none
    assert device.read_bytes() == b""


def test_somebody_else_s_request_is_told(
    bench: Bench, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awake, "in_force_us", lambda: 3)
    assert len(awake.ways(bench)) == 2
    [remark] = bench.remarks
    assert "not left to halt: somebody else has 3 us in force" in remark
