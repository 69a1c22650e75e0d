"""Run a supervisor with small fake roles; a program of its own, started by the tests.

`fake_instance.py CONFIG`: beside the config, `behaviour/<role>` says in one word what each
process of a role does from its start on (absent: it behaves well), `starts` gets a line per
process, and `machine` stands for the root folder that the device is below. A role that behaves
well writes frames, or follows them, as the real ones do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from ext.cells import Cell
from ext.rings import FrameRingWriter
from pipeline.core import layout, logs
from pipeline.core.capacity import BrokerLimits
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.config import load
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.errors import PipelineError
from pipeline.shm.instance import InstanceView
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.start import supervise
from pipeline.supervisor.task import Task

_STATUS = {
    Role.FEED: SegmentKind.FEED_STATUS,
    Role.DECODER: SegmentKind.DECODER_STATUS,
    Role.SIMULATOR: SegmentKind.SIMULATOR_STATUS,
    Role.CONTROL: SegmentKind.CONTROL_STATUS,
}
_asked_to_end = False


def _ask_to_end(number: int, frame: object) -> None:
    global _asked_to_end
    _asked_to_end = True


def _begin(task: Task) -> tuple[StatusPage | None, str]:
    folder = task.config.folder
    name = f"{task.role.name.lower()}-{task.number}"
    path = folder / "behaviour" / name
    behaviour = path.read_text().strip() if path.exists() else "good"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stubborn" else _ask_to_end)
    # Last of what a test may rely on once it has seen this line.
    with (folder / "starts").open("a") as file:
        file.write(f"{name} {os.getpid()} {monotonic_ns()} {task.skip}\n")
    page = None
    if task.role in _STATUS:
        path = task.paths.segment(_STATUS[task.role], task.number)
        page = StatusPage(Segment.attach(path, _STATUS[task.role], writable=True))
        page.begin(task.role, task.number)
    return page, behaviour


def _misbehave(behaviour: str, page: StatusPage | None) -> None:
    word, _, argument = behaviour.partition(" ")
    if word == "exit":
        sys.exit(int(argument))
    elif word == "raise":
        raise ValueError("a fault in a role")
    elif word == "segv":
        ctypes.string_at(0)
    elif word == "abort":
        os.abort()
    elif word == "hang":
        time.sleep(3600)
    elif word == "rejected":
        assert page is not None
        page.set_state(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)


def run_fake_feed(task: Task) -> int:
    page, behaviour = _begin(task)
    assert page is not None
    _misbehave(behaviour, page)
    path = task.paths.segment(SegmentKind.FRAMES, task.number)
    frames = FrameRingWriter(Segment.attach(path, SegmentKind.FRAMES, writable=True).mapping)
    epoch = int(page.record["connection_epoch"]) + 1
    page.record["connection_epoch"] = epoch
    if behaviour != "rejected":
        page.set_state(State.LIVE, Reason.FIRST_DATA)
    while not _asked_to_end:
        frames.append(
            b"x" * 100,
            connection_epoch=epoch,
            receive_ts_ns=real_ns(),
            receive_mono_ns=monotonic_ns(),
        )
        page.record["frames_out"] += 1
        page.beat(monotonic_ns())
        time.sleep(0.005)
    for state in (State.DRAINING, State.CLOSED):
        frames.append_state(
            state,
            Reason.SHUTDOWN,
            connection_epoch=epoch,
            ts_ns=real_ns(),
            mono_ns=monotonic_ns(),
        )
    return 0


def run_fake_decoder(task: Task) -> int:
    page, behaviour = _begin(task)
    assert page is not None
    _misbehave(behaviour, page)
    instance = InstanceView(task.paths)
    version = -1
    followed: dict[int, _Followed] = {}
    poison = int(behaviour.partition(" ")[2]) if behaviour.startswith("poison") else None
    while not _asked_to_end:
        if instance.version != version and behaviour != "blind":
            version, manifest = instance.version, instance.read().manifest
            wanted = {e.number for e in manifest if e.kind is SegmentKind.TICKS}
            wanted &= {e.number for e in manifest if e.decoder == task.number}
            followed = {n: followed.get(n) or _Followed(task, n) for n in sorted(wanted)}
            page.record["manifest_version_seen"] = instance.read().manifest_version
        for one in followed.values():
            one.step(page, task, poison)
        page.beat(monotonic_ns())
        time.sleep(0.002)
    return 0


class _Followed:
    """A connection whose frames a fake decoder commits without looking at them."""

    def __init__(self, task: Task, connection: int) -> None:
        self.connection = connection
        path = task.paths.segment(SegmentKind.FRAMES, connection)
        self._control = Segment.attach(path, SegmentKind.FRAMES).record("RingControlC")
        path = task.paths.segment(SegmentKind.TICKS, connection)
        ticks = Segment.attach(path, SegmentKind.TICKS, writable=True)
        offset = layout.data_offset + layout.dtypes["RingControlC"].itemsize
        self._cell = Cell(ticks.mapping, offset, layout.dtypes["CommitC"].itemsize)
        self._commit = np.zeros((), layout.dtypes["CommitC"])
        self._raw = self._commit.reshape(1).view(np.uint8)
        self._cell.read_into(self._raw)

    def step(self, page: StatusPage, task: Task, poison: int | None) -> None:
        tail = int(self._control["tail"])
        at = int(self._commit["source_sequence"])
        if at == tail:
            return
        page.record["decoding_connection"] = self.connection
        page.record["decoding_source_sequence"] = at
        page.record["decoding"] = 1
        if at == poison and task.skip != (self.connection, at):
            os.abort()
        page.record["decoding"] = 0
        self._commit["source_sequence"] = at + 1
        self._cell.write(self._raw)
        page.record["commits"] += 1


def run_fake_simulator(task: Task) -> int:
    page, behaviour = _begin(task)
    assert page is not None and task.listener is not None
    _misbehave(behaviour, page)
    while not _asked_to_end:
        page.beat(monotonic_ns())
        time.sleep(0.01)
    return 0


def run_fake_control(task: Task) -> int:
    page, behaviour = _begin(task)
    assert page is not None
    _misbehave(behaviour, page)
    while not _asked_to_end:
        page.record["turns"] += 1
        page.beat(monotonic_ns())
        time.sleep(0.01)
    return 0


ROLES = {
    Role.CONTROL: run_fake_control,
    Role.FEED: run_fake_feed,
    Role.DECODER: run_fake_decoder,
    Role.SIMULATOR: run_fake_simulator,
}


def main(path: str, *arguments: str) -> int:
    logs.set_up(role="supervisor", level="debug")
    run_s = float(arguments[0]) if arguments else None
    try:
        limits = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
        config = load(Path(path), limits=limits)
        machine = config.folder / "machine"
        return supervise(config, ROLES, run_s=run_s, latency_root=machine)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
