"""`top` and the screen tell the same: of the pool, of rates, of latencies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli.figures import count, latency
from pipeline.cli.status_view import screen
from pipeline.cli.top_pool import PoolFigures, PoolView
from pipeline.core.enums import EventKind, Reason
from pipeline.services.control.screen.document import pool_document, state_document
from pipeline.services.control.timeline import Timeline
from pipeline.services.status.recent import Looks, take_look
from pipeline.shm.names import InstancePaths
from tests.cli.test_status_view import lines_of
from tests.services.control.api.served import Served
from tests.services.status.establish import Established


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("top"))
    try:
        yield served.ready()
    finally:
        served.close()


def test_the_pool_is_what_the_screen_says(served: Served) -> None:
    served.subscribe([1, 2, 3])
    pool = PoolFigures(served.ground.paths)
    found = pool.read()
    shown = served.get("/screen/state").body["pool"]
    pool.close()
    assert found is not None and found.problem == ""
    moving = {"clients", "score", "state", "scores"}  # `top` is a client itself
    assert found.figures.keys() == shown.keys()
    assert {k: v for k, v in found.figures.items() if k not in moving} == {
        k: v for k, v in shown.items() if k not in moving
    }


def test_an_instance_without_a_pool_has_no_line_about_it(tmp_path: Path) -> None:
    assert PoolFigures(InstancePaths("none", tmp_path)).read() is None


def test_a_control_process_that_is_away_is_a_line(tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(made.paths.control_socket))
    pool = PoolFigures(made.paths)
    found = pool.read()
    assert found is not None and "does not answer" in found.problem
    look = take_look(made.paths)
    text = "\n".join(lines_of(screen(look.status, Looks().add(look), 60, found)))
    assert "pool: its control process does not answer" in text
    made.end()


def test_rates_and_latencies_are_what_the_screen_says(tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    looks = Looks()
    looks.add(take_look(made.paths))
    made.lanes[0].write_ticks(200)
    made.lanes[1].write_event(EventKind.GAP, reason=Reason.RESET, start_ts_ns=1, end_ts_ns=2)
    for _ in range(5):
        made.decoder.histogram("receive_to_publish").record(7_000_000)
    look = take_look(made.paths)
    recent = looks.add(look)
    document = state_document(look.status, recent)
    timeline = Timeline(made.paths)
    timeline.follow(made.numbers)
    shown = lines_of(screen(look.status, recent, 80, None, timeline.after(0)))
    text = "\n".join(shown)
    one, decoder = document["connections"][0], document["decoders"][0]
    assert f" {count(one['ticks_per_s'])} " in next(row for row in shown if row.startswith("c0"))
    assert latency(decoder["latency"]["p99_ns"]) in next(r for r in shown if r.startswith("d0"))
    assert "gap" in text and "reset" in text
    assert all(len(line) <= 80 for line in shown) and "…" not in text
    made.end()


def test_the_plan_and_alerts_of_a_pool_are_shown(served: Served, tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    stats = served.get("/advanced/websocket-pool/stats").body
    health = served.get("/health").body
    stats["pool"] |= dict.fromkeys(("desired", "assigned", "confirmed", "orphaned"), 18_000)
    alert = {"subject": "connection 7", "text": "its feed gives no sign of life"}
    view = PoolView(pool_document(stats, health), [alert])
    look = take_look(made.paths)
    shown = lines_of(screen(look.status, Looks().add(look), 80, view))
    assert shown[1].startswith(f"pool {health['state']} ")
    assert "! connection 7: its feed gives no sign of life" in shown[2]
    assert any(line.startswith("account") and "waiting" in line for line in shown)
    assert "  orphaned 18.0k  desired 18.0k  confirmed 18.0k" in shown[1]
    assert all(len(line) <= 80 for line in shown)
    made.end()
