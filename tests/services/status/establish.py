"""All segments of a config's instance, made as the supervisor makes them, filled by tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ext.cells import Bell, Cell
from pipeline.brokers.registry import broker_limits
from pipeline.core import layout
from pipeline.core.clock import NS_PER_S, monotonic_ns, real_ns
from pipeline.core.config import parse
from pipeline.core.enums import InstanceState, Reason, Role, SegmentKind, State
from pipeline.core.plan import plan_topology
from pipeline.shm.identity import own_identity
from pipeline.shm.instance import InstanceFile
from pipeline.shm.names import INSTANCE_BELL, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.plan import plan_memory
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, WireTable, confirmed_rows
from pipeline.supervisor.establish import make_segments
from tests.strategy.writer import LaneWriter

CONFIG = """
[instance]
name = "{name}"
shm_directory = "{root}"
[simulator]
instruments = 60
[[account]]
name = "exchange"
url = "simulator"
api_key = "demo"
{connections}
"""
CONNECTION = """
[[connection]]
account = "exchange"
[[subscription]]
simulated = {{ first = {first}, count = 20 }}
connection = {number}
"""


class Established:
    """An instance whose supervisor, feeds and decoder are this process."""

    def __init__(self, name: str, root: Path, connections: int = 3) -> None:
        parts = [CONNECTION.format(first=20 * n, number=n) for n in range(connections)]
        text = CONFIG.format(name=name, root=root, connections="".join(parts))
        config = parse(text, limits=broker_limits())
        self.paths = InstancePaths(name, root)
        self.file = InstanceFile.claim(self.paths)
        make_segments(self.file, plan_memory(config), plan_topology(config), gated=False)
        self.file.set_state(InstanceState.RUNNING, Reason.STARTED)
        self.numbers = range(connections)
        self.crashed = False
        self.bell = Bell(self.attach(SegmentKind.BELL, INSTANCE_BELL).mapping, layout.data_offset)
        self.lanes = [
            LaneWriter(self.attach(SegmentKind.TICKS, n), self.attach(SegmentKind.EVENTS, n), n)
            for n in self.numbers
        ]
        self.feeds = [StatusPage(self.attach(SegmentKind.FEED_STATUS, n)) for n in self.numbers]
        self.decoder = StatusPage(self.attach(SegmentKind.DECODER_STATUS, 0))
        self.supervisor = StatusPage(self.attach(SegmentKind.SUPERVISOR_STATUS, 0))

    def attach(self, kind: SegmentKind, number: int) -> Segment:
        return Segment.attach(self.paths.segment(kind, number), kind, writable=True)

    def fill(self) -> None:
        """Let everything be in order: live connections, balanced accounts, living processes."""
        self.decoder.begin(Role.DECODER, 0)
        self.decoder.histogram("receive_to_publish").record(30_000)
        for number, page in enumerate(self.feeds):
            page.begin(Role.FEED, number)
            page.set_state(State.LIVE, Reason.FIRST_DATA)
            page.record["account"][:8] = np.frombuffer(b"exchange", np.uint8)
            page.record["connection_epoch"] = 2
            page.record["messages_in"], page.record["frames_out"] = 1000, 990
            page.record["messages_own"] = 10
            page.record["last_byte_mono_ns"] = monotonic_ns()
            self._fill_tables(number)
            self.commit(number, ticks_out=0, frames_in=0)
        names = [("feed-0", Role.FEED, 0), ("feed-1", Role.FEED, 1), ("feed-2", Role.FEED, 2),
                 ("decoder-0", Role.DECODER, 0), ("simulator", Role.SIMULATOR, 0)]  # fmt: skip
        self.set_processes(names)

    def set_processes(self, names: list[tuple[str, Role, int]]) -> None:
        pid, started = own_identity()
        record = self.supervisor.record
        record["process_count"], record["forks"] = len(names), len(names)
        for row, (name, role, number) in zip(record["processes"], names, strict=False):
            row["pid"], row["start_time"], row["role"], row["number"] = pid, started, role, number
            row["started_mono_ns"] = monotonic_ns() - 65 * NS_PER_S
            row["name"][: len(name)] = np.frombuffer(name.encode(), np.uint8)

    def note_death(self, index: int, exit_code: int = -9) -> None:
        row = self.supervisor.record["processes"][index]
        row["restarts"] += 1
        row["last_exit_code"], row["last_exit_reason"] = exit_code, Reason.PROCESS_KILLED
        row["last_exit_ts_ns"] = real_ns()

    def _fill_tables(self, number: int) -> None:
        assigned = AssignmentTable(self.attach(SegmentKind.ASSIGNMENT, number)).read()[1]
        wire = np.zeros(18, layout.dtypes["WireC"])
        wire["instrument_token"] = assigned["instrument_token"][:18]
        WireTable(self.attach(SegmentKind.WIRE, number)).write(wire, connection_epoch=2)
        rows = confirmed_rows(self.attach(SegmentKind.CONFIRMED, number))
        for index, row in enumerate(assigned[:15]):
            place = rows[int(row["slot"])]
            place["instrument_token"] = row["instrument_token"]
            place["connection_epoch"] = 2 if index < 12 else 1

    def commit(self, number: int, **counters: int) -> None:
        """Write a commit block whose accounts balance by themselves."""
        value = np.zeros((), layout.dtypes["CommitC"])
        value["source_sequence"] = counters.get("frames_in", 0)
        value["tick_tail"] = 1 + counters.get("ticks_out", 0)
        counters.setdefault("packets_in", counters.get("ticks_out", 0))
        counters.setdefault("frames_data", counters.get("frames_in", 0))
        for name, count in counters.items():
            value["counters"][name] = count
        offset = layout.data_offset + layout.dtypes["RingControlC"].itemsize
        mapping = self.attach(SegmentKind.TICKS, number).mapping
        Cell(mapping, offset, value.dtype.itemsize).write(value.reshape(1).view(np.uint8))

    def beat(self) -> None:
        """Be alive."""
        for page in (*self.feeds, self.decoder, self.supervisor):
            page.beat(monotonic_ns())

    def crash(self) -> None:
        """Look as if the supervisor had been killed."""
        self.file._value["supervisor_pid"] = 2**22 + 1
        self.file.set_state(InstanceState.RUNNING, Reason.STARTED)
        os.close(self.file.lock)
        self.crashed = True

    def end(self) -> None:
        if not self.crashed:
            self.file.end(Reason.SHUTDOWN, 0)
