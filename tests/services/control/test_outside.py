"""The pool's side of shared memory, over real segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core import layout
from pipeline.core.clock import monotonic_ns
from pipeline.core.config import Config
from pipeline.core.enums import Mode, Reason, SegmentKind, State
from pipeline.core.plan import plan_connection, plan_topology
from pipeline.services.control.links import Link, Row
from pipeline.services.control.outside import Outside, TopologyRow
from pipeline.shm.instance import InstanceFile
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.plan import plan_segments
from pipeline.shm.segment import Segment
from pipeline.shm.tables import commit_cell, confirmed_rows
from pipeline.supervisor.establish import make_connection, make_segments
from tests.services.control.world import pool_config


class Ground:
    """An instance's files without any process."""

    def __init__(self, folder: Path, more: str = "", config: Config | None = None) -> None:
        own = config or pool_config(pool="instruments_per_connection = 10", more=more)
        self.config: Config = own
        self.paths = InstancePaths("test", folder)
        self.instance = InstanceFile.claim(self.paths)
        topology = plan_topology(self.config)
        make_segments(self.instance, plan_segments(topology), topology, gated=False)

    def open(self, number: int, *, account: int = 0, decoder: int = 0) -> None:
        """Make a connection, as the supervisor does."""
        plan = plan_connection(
            self.config, number, account=account, decoder=decoder, instruments_max=10
        )
        entries = make_connection(self.instance, plan, slots=30)
        self.instance.set_manifest([*self.instance.manifest, *entries])

    def attach(self, kind: SegmentKind, number: int) -> Segment:
        return Segment.attach(self.paths.segment(kind, number), kind, writable=True)


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(tmp_path)
    # This process supervises the instance, and has no handler for the signal.
    monkeypatch.setattr("pipeline.services.control.outside.os.kill", lambda pid, number: None)
    return ground


def _link(number: int, rows: dict[int, Row]) -> Link:
    return Link(
        number=number, account="a", account_index=0, decoder=0, seat=0, capacity=10,
        opened_mono_ns=0, healthy_mono_ns=0, rows=rows,
    )  # fmt: skip


def test_topology_is_read_as_it_was_written(ground: Ground) -> None:
    outside = Outside(ground.paths)
    assert outside.read_topology() == []
    rows = [TopologyRow(4, 0, 0, 2, 10, True), TopologyRow(5, 0, 0, 1, 7, False)]
    rows += [TopologyRow(6, 0, 0, 3, 7, True, True, 4), TopologyRow(7, 0, 0, 0, 7, True, True)]
    outside.write_topology(rows, {0})
    assert Outside(ground.paths).read_topology() == rows


def test_rows_of_other_accounts_stay(ground: Ground) -> None:
    outside = Outside(ground.paths)
    one, other = TopologyRow(1, 0, 0, 0, 10, True), TopologyRow(0, 1, 1, 0, 10, True)
    outside.write_topology([one], {0})
    outside.write_topology([other], {1, 2})
    assert outside.read_topology() == [other, one]
    outside.write_topology([], {0})
    assert outside.read_topology() == [other]


def test_a_connection_is_written_once_it_is_there(ground: Ground) -> None:
    outside = Outside(ground.paths)
    rows = {408065: Row(Mode.FULL, 3, 1), 265: Row(Mode.LTP, 0, 2)}
    assert not outside.write(_link(0, rows)) and not outside.report(0).present
    ground.open(0)
    assert outside.present == {0}
    assert outside.write(_link(0, rows))
    assert Outside(ground.paths).read_rows(0) == rows


def test_pages_and_first_packets(ground: Ground) -> None:
    outside = Outside(ground.paths)
    ground.open(0)
    page = StatusPage(ground.attach(SegmentKind.FEED_STATUS, 0))
    page.set_state(State.LIVE, Reason.FIRST_DATA)
    page.beat(77)
    page.record["connection_epoch"] = 4
    report = outside.report(0)
    assert report.present and report.state is State.LIVE and report.heartbeat_mono_ns == 77
    assert outside.first_packets(0, [408065], [3]) == [0]
    confirmed = confirmed_rows(ground.attach(SegmentKind.CONFIRMED, 0))
    confirmed["instrument_token"][3] = 408065
    confirmed["first_packet_mono_ns"][3] = 99
    confirmed["connection_epoch"][3] = 4
    assert outside.first_packets(0, [408065, 265], [3, 3]) == [99, 0]
    page.record["connection_epoch"] = 5  # of the connection before
    assert outside.first_packets(0, [408065], [3]) == [0]


def test_who_has_ticked_since_it_was_assigned(ground: Ground) -> None:
    outside = Outside(ground.paths)
    assert not outside.has_ticked(0, 408065, 3) and outside.decoded_until(0) == 0
    ground.open(0)
    confirmed = confirmed_rows(ground.attach(SegmentKind.CONFIRMED, 0))
    confirmed["instrument_token"][3] = 408065
    confirmed["first_packet_mono_ns"][3] = 99  # of an earlier time
    confirmed["connection_epoch"][3] = 4
    assert not outside.has_ticked(0, 408065, 3)  # which it has not at all
    assert outside.write(_link(0, {408065: Row(Mode.FULL, 3, 1), 265: Row(Mode.LTP, 0, 2)}))
    assert not outside.has_ticked(0, 408065, 3)
    confirmed["first_packet_mono_ns"][3] = monotonic_ns()
    assert outside.has_ticked(0, 408065, 3) and not outside.has_ticked(0, 265, 3)
    assert outside.write(_link(0, {408065: Row(Mode.FULL, 3, 7)}))  # given anew
    assert not outside.has_ticked(0, 408065, 3)
    commit = np.zeros((), layout.dtypes["CommitC"])
    commit["last_receive_mono_ns"] = 77
    cell = commit_cell(ground.attach(SegmentKind.TICKS, 0))
    cell.write(commit.reshape(1).view(np.uint8))
    assert outside.decoded_until(0) == 77
    ground.instance.set_manifest([])
    assert outside.present == frozenset()
    assert outside.decoded_until(0) == 77 and outside.has_ticked(0, 408065, 3)


def test_a_connection_that_left_is_absent(ground: Ground) -> None:
    outside = Outside(ground.paths)
    ground.open(0)
    assert outside.write(_link(0, {}))
    kept = [entry for entry in ground.instance.manifest if entry.kind is not SegmentKind.TICKS]
    kept = [entry for entry in kept if entry.kind is not SegmentKind.FEED_STATUS]
    ground.instance.set_manifest(kept)
    assert outside.present == frozenset() and outside.first_packets(0, [1], [0]) == [0]
    assert not outside.write(_link(0, {}))
