"""The gateway's page, read from outside."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.enums import Role, SegmentKind
from pipeline.services.status.gateways import read_gateway
from pipeline.services.status.model import Process
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment

PROCESS = Process(
    name="gateway", role="gateway", number=0, pid=7, alive=True, uptime_s=1.0, restarts=0,
    consecutive_deaths=0, circuit_open=False, last_exit_code=None, last_exit_reason=None,
    last_exit_ts_ns=0,
)  # fmt: skip


def page_in(folder: Path) -> tuple[InstancePaths, StatusPage]:
    paths = InstancePaths("t", folder)
    paths.make()
    path = paths.segment(SegmentKind.GATEWAY_STATUS)
    page = StatusPage(Segment.create(path, specs.gateway_status(), instance_id=bytes(16)))
    page.begin(Role.GATEWAY)
    return paths, page


def test_an_instance_without_a_gateway_has_none(tmp_path: Path) -> None:
    assert read_gateway(InstancePaths("t", tmp_path), [], 0) is None


def test_it_says_who_is_there_and_what_does_not_balance(tmp_path: Path) -> None:
    paths, page = page_in(tmp_path)
    record = page.record
    record["ticks_in"], record["ticks_wanted"], record["ticks_unwanted"] = 10, 7, 3
    record["messages_offered"], record["messages_sent"] = 2_000, 1_500
    record["messages_conflated"], record["messages_waiting"] = 400, 100
    record["clients"], record["authenticated"], record["port"] = 3, 2, 8765
    record["cut_stalled"], record["cut_silent"] = 1, 2
    page.histogram("receive_to_send").record(400_000)
    found = read_gateway(paths, [PROCESS], 0)
    assert found is not None and found.imbalances == [] and found.port == 8765
    assert found.receive_to_send.samples == 1 and found.authenticated == 2
    record["messages_sent"] = 1_499
    record["ticks_in"] = 11
    again = read_gateway(paths, [PROCESS], 0)
    assert again is not None
    assert [(b.stage, b.difference) for b in again.imbalances] == [
        ("gateway ticks", 1), ("gateway messages", 1),
    ]  # fmt: skip
