"""The memory plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import load
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import SegmentError, ShmFull
from pipeline.shm.plan import MemoryPlan, plan_memory, require_room

ROOT = Path(__file__).parents[2]
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}


@pytest.fixture
def plan() -> MemoryPlan:
    return plan_memory(load(ROOT / "examples" / "config" / "sim.toml", limits=LIMITS))


def test_three_full_connections_fit_the_default_container(plan: MemoryPlan) -> None:
    assert 40 * 2**20 < plan.total_bytes < 48 * 2**20


def test_every_segment_once(plan: MemoryPlan) -> None:
    places = [(spec.kind, spec.number) for spec in plan.segments]
    assert len(places) == len(set(places))
    of_pools = {SegmentKind.TOPOLOGY, SegmentKind.CONTROL_STATUS}
    of_services = {SegmentKind.STRATEGY_STATUS, SegmentKind.GATEWAY_STATUS}
    of_others = {SegmentKind.READER, *of_services, *of_pools}
    assert {kind for kind, _ in places} == set(SegmentKind) - of_others


def test_each_hosted_strategy_has_a_page() -> None:
    config = load(ROOT / "examples" / "hosted" / "averages.toml", limits=LIMITS)
    found = [s for s in plan_memory(config).segments if s.kind is SegmentKind.STRATEGY_STATUS]
    assert [spec.number for spec in found] == [0]


def test_a_pool_s_keys_are_its_own() -> None:
    rows = plan_memory(load(ROOT / "examples" / "config" / "pool.toml", limits=LIMITS)).rows()
    keys = {row.kind: row.key for row in rows}
    assert keys[SegmentKind.LATEST] == "[pool] instruments_per_connection"
    assert not any("[[connection]]" in key for key in keys.values())


def test_rows_add_up(plan: MemoryPlan) -> None:
    rows = plan.rows()
    assert sum(row.total_bytes for row in rows) == plan.total_bytes
    assert rows == sorted(rows, key=lambda row: -row.total_bytes)


def test_what_does_not_fit_names_the_key(plan: MemoryPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.shm.plan.free_bytes", lambda directory: 2**20)
    with pytest.raises(ShmFull) as caught:
        require_room(plan, Path("/some/where"))
    assert caught.value.key == plan.key_to_lower in str(caught.value)
    assert "1.0 MiB free" in str(caught.value)


def test_a_directory_that_is_not_there(plan: MemoryPlan, tmp_path: Path) -> None:
    with pytest.raises(SegmentError, match="shm_directory"):
        require_room(plan, tmp_path / "none")
