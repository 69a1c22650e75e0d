"""The control process's body, in a process of its own: it turns, it shows, it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

from pipeline.core.control import Ask, Hello, read_answer, to_line
from pipeline.core.enums import SegmentKind, State
from pipeline.core.local_socket import connect_local
from pipeline.services.control.process import run_control
from pipeline.shm.pages import StatusPage
from tests.services.control.test_outside import Ground
from tests.supervisor.harness import wait_for

MORE = "[[subscription]]\ninstruments = [408065, 265]\nmode = 'ltp'\n"


def _run(ground: Ground) -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os._exit(run_control(ground.config, ground.paths))


def test_it_wants_what_the_config_says_and_ends_in_order(
    tmp_path: Path,
) -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # this process supervises the instance
    ground = Ground(tmp_path, more=MORE)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(ground,))
    process.start()
    try:
        page = StatusPage(ground.attach(SegmentKind.CONTROL_STATUS, 0))
        wait_for(lambda: int(page.head["state"]) == State.LIVE, "the state LIVE")
        with connect_local(ground.paths.control_socket, timeout_s=30) as sock:
            lines = sock.makefile("rb")
            sock.sendall(to_line(Hello(client="t")) + to_line(Ask(about="subscriptions")))
            assert read_answer(lines.readline()).result["pid"] == process.pid
            tokens = [row["instrument_token"] for row in read_answer(lines.readline()).result]
            assert tokens == [265, 408065]
            lines.close()
        wait_for(lambda: int(page.record["requests"]) == 2, "the page to show it")
        assert int(page.record["desired"]) == 2 and int(page.record["connections_opened"]) == 1
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(30)
        assert process.exitcode == 0
        assert int(page.head["state"]) == State.CLOSED
    finally:
        process.kill()
        process.join()
        process.close()
        signal.signal(signal.SIGUSR1, before)
