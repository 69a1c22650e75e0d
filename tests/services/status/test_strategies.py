"""Hosted strategies as `stat` and `top` show them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli.status_view import screen, whole
from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import HostPhase, Role, SegmentKind
from pipeline.services.status import InstanceStatus, problems, snapshot
from pipeline.services.status.recent import NOTHING
from pipeline.services.status.strategies import read_strategies
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from tests.services.status.establish import Established


@pytest.fixture
def status(established: Established) -> InstanceStatus:
    """Return the status of an instance with one strategy more than processes."""
    path = established.paths.directory / "s0.status"
    made = Segment.create(path, specs.strategy_status(0), instance_id=established.file.instance_id)
    record = made.record("StrategyStatusC")
    record["phase"], record["phase_since_mono_ns"] = (
        HostPhase.ON_TICKS,
        monotonic_ns() - 9 * NS_PER_S,
    )
    record["report_after_ns"] = 3 * NS_PER_S
    record["calls"], record["ticks"], record["exceptions"] = 7, 1234, 1
    established.set_processes([("strategy averages", Role.STRATEGY, 0)])
    return snapshot(established.paths)


def text(view: object) -> str:
    console = Console(width=100, highlight=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_long_callback_is_seen_from_outside(status: InstanceStatus) -> None:
    (found,) = status.strategies
    assert (found.name, found.phase, found.is_slow) == ("averages", "on_ticks", True)
    assert (found.calls, found.ticks, found.exceptions) == (7, 1234, 1)
    assert any(
        line.startswith("strategy averages is in on_ticks for 9.") for line in problems(status)
    )
    assert status.as_dict()["strategies"][0]["phase"] == "on_ticks"
    for shown in (text(whole(status)), text(screen(status, NOTHING, 60))):
        assert "averages on_ticks 9.0s" in " ".join(shown.split())


def test_nothing_is_read_when_nothing_is_hosted(tmp_path: Path, status: InstanceStatus) -> None:
    others = [process for process in status.processes if process.role != "strategy"]
    assert read_strategies(InstancePaths("none", tmp_path), others, 0) == []


def test_what_was_not_handed_on_has_a_column_where_there_is_any(
    established: Established, status: InstanceStatus
) -> None:
    assert "printed dropped" not in " ".join(text(whole(status)).split())
    record = Segment.attach(
        established.paths.directory / "s0.status", SegmentKind.STRATEGY_STATUS, writable=True
    ).record("StrategyStatusC")
    record["dropped"] = 4321
    (found,) = snapshot(established.paths).strategies
    assert found.dropped == 4321
    shown = " ".join(text(whole(snapshot(established.paths))).split())
    assert "printed dropped" in shown and "4.32k" in shown
