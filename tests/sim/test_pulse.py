"""The simulated exchange's sign of life: beats while the loop turns, also with nothing to do."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import Role
from pipeline.shm import specs
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.sim.options import SimulatorOptions
from pipeline.sim.pulse import BEAT_NS, Pulse
from pipeline.sim.server import Server
from tests.feed.stage import wait_for


def make_page(folder: Path) -> StatusPage:
    spec = specs.simulator_status()
    page = StatusPage(Segment.create(folder / "status", spec, instance_id=bytes(16)))
    page.begin(Role.SIMULATOR)
    return page


def test_beats_close_together_are_one(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    pulse = Pulse(page, 0.1)
    before_ns = monotonic_ns()
    pulse.beat(1)
    for sessions in range(2, 1000):
        pulse.beat(sessions)
    beats = 1 + (monotonic_ns() - before_ns) // BEAT_NS
    assert int(page.record["sessions"]) == 1 or beats > 1
    assert int(page.head["heartbeat_mono_ns"]) >= before_ns


def test_an_exchange_with_nothing_to_do_beats(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    options = SimulatorOptions(instruments=10, heartbeat_s=60.0, interval_s=60.0)
    with ExitStack() as stack:
        server = Server(options, stack, None, None, None, Pulse(page, 0.01))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            for _ in range(3):
                beat_ns = int(page.head["heartbeat_mono_ns"])
                wait_for(lambda then=beat_ns: int(page.head["heartbeat_mono_ns"]) > then, "a beat")  # type: ignore[misc]
        finally:
            server.stop(signal.SIGTERM, None)
            thread.join()
