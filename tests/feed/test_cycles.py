"""Connecting and losing the connection again and again leaves nothing behind."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from pipeline.core.enums import State
from tests.ext.frames import BINARY, server_frame
from tests.feed.scripted_server import Peer
from tests.feed.stage import Stage, wait_for

TICK = server_frame(BINARY, b"\x00\x01\x00\x08" + bytes(8))
WARM_UP = 50
RSS_GROWTH_MAX = 3 << 20


@contextmanager
def one_at_a_time() -> Iterator[str]:
    """Serve in one thread: upgrade, a tick, and away after the first command."""
    stopping = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)

    def serve() -> None:
        while not stopping.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            with sock:
                sock.settimeout(5)
                try:
                    peer = Peer(sock, stopping)
                    peer.upgrade(TICK)
                    peer.receive()
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopping.set()
        thread.join()
        listener.close()


class Holdings(NamedTuple):
    """What a process has, at one moment."""

    descriptors: int
    threads: int
    maps: int
    rss: int


def holdings() -> Holdings:
    gc.collect()
    process = psutil.Process()
    segments = sum("stage" in m.path for m in process.memory_maps(grouped=False))
    return Holdings(
        process.num_fds(), threading.active_count(), segments, process.memory_info().rss
    )


def cycle(folder: Path, count: int, patience_s: float) -> tuple[Holdings, Holdings]:
    """Return what is held after the warm-up and after `count` more handshakes, in a pause."""
    found: list[Holdings] = []
    goals = [WARM_UP, WARM_UP + count]
    with one_at_a_time() as url:
        stage = Stage(folder, url)

        def between() -> float:
            # Called in the feed's thread, between two connections: nothing is in flight.
            if goals and stage.counter("handshakes") >= goals[0]:
                goals.pop(0)
                found.append(holdings())
            return 0.0

        with stage.running(draw=between):
            wait_for(lambda: not goals, f"{count} handshakes", patience_s=patience_s)
        states = {State(f["state"]) for f in stage.poll()}
    assert {State.CONNECTING, State.SUBSCRIBING, State.RECONNECTING} <= states
    assert os.getpid() == int(stage.page.head["pid"])
    return found[0], found[1]


def demand_flat(before: Holdings, after: Holdings) -> None:
    assert after.descriptors == before.descriptors
    assert after.threads == before.threads
    assert after.maps == before.maps
    assert after.rss - before.rss <= RSS_GROWTH_MAX


def test_a_hundred_connections_leave_nothing(tmp_path: Path) -> None:
    demand_flat(*cycle(tmp_path, 100, 60))


@pytest.mark.full
@pytest.mark.timeout(900)
def test_ten_thousand_connections_leave_nothing(tmp_path: Path) -> None:
    demand_flat(*cycle(tmp_path, 10_000, 850))
