"""`top` and the screen tell the same: of the pool, of rates, of latencies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.figures import count, duration, latency
from pipeline.cli.status_view import screen
from pipeline.cli.top_pool import PoolFigures, PoolView
from pipeline.core.enums import EventKind, Reason
from pipeline.services.control.screen.document import pool_document, state_document
from pipeline.services.control.timeline import Timeline
from pipeline.services.status.model import Gateway, Latency, Reader, Strategy
from pipeline.services.status.recent import Looks, Recent, take_look
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


AGES = Latency(samples=9, p50_ns=11_000, p99_ns=222_000, p999_ns=3_330_000, max_ns=44_000_000)
READER = Reader(
    name="mine", pid=77, alive=True, policy="resume", heartbeat_age_s=0.1, batches=1,
    delivered=10_000, events=1, lost=31, laps=2, lag=41, latency=AGES, cursors=[],
)  # fmt: skip
STRATEGY = Strategy(
    name="bars", number=0, phase="on_ticks", phase_s=1.5, is_slow=False, calls=51, ticks=52_000,
    events=53, lost=54, dropped=55, exceptions=56, output_lines=50, output_lines_dropped=7,
)  # fmt: skip
GATEWAY = Gateway(
    pid=78, alive=True, heartbeat_age_s=0.1, port=8765, clients=12, authenticated=11,
    subscriptions=61, instruments=62, messages_waiting=63, demanded=64, balances=[],
    counters={
        "messages_sent": 65_000, "messages_conflated": 66, "messages_dropped": 67,
        "cut_stalled": 1, "cut_backlog": 2, "cut_silent": 3, "cut_protocol": 4, "refused": 20,
        "keys_refused": 1, "ticks_lost": 68, "orders_lost": 0,
    },
    receive_to_send=AGES,
)  # fmt: skip


def _told(row: dict[str, Any], *names: str) -> list[str]:
    return ["-" if row[name] is None else count(row[name]) for name in names]


def _percentiles(row: dict[str, Any], *names: str) -> list[str]:
    return [latency(row["latency"][f"{name}_ns"]) for name in names]


def test_each_figure_that_both_show_is_the_same(tmp_path: Path) -> None:
    """Every column of every table of `top`, against the document that the page is given."""
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    looks = Looks()
    looks.add(take_look(made.paths))
    made.lanes[0].write_ticks(200)
    for name, number in (("reconnects", 3), ("stalls", 1), ("handshake_failures", 2)):
        made.feeds[0].record[name] = number
    made.feeds[0].record["bytes_in"] += 12_345
    made.commit(0, ticks_out=200, frames_in=9, gaps_out=4, frames_overrun=5)
    made.decoder.histogram("receive_to_publish").record(7_000_000)
    look = take_look(made.paths)
    status = replace(look.status, readers=[READER], strategies=[STRATEGY], gateway=GATEWAY)
    found = looks.add(look)
    rates = found.rates._replace(delivered={("mine", 77): 321.0})
    recent = Recent(rates, found.published, {("mine", 77): AGES}, AGES, 654.0)
    made.end()

    shown = [line.split() for line in lines_of(screen(status, recent, 200))]
    rows = iter(shown)

    def row_of(head: str, begins: str) -> list[str]:
        """Return what stands behind the name in a row of the table with that head."""
        while next(rows)[:1] != [head]:
            pass
        return next(row for row in rows if row and row[0] == begins)[1:]

    document = state_document(status, recent)
    one, reader, gateway = document["connections"][0], document["readers"][0], document["gateway"]
    own = ("assigned", "wire", "confirmed", "ticks_per_s")
    behind = count(one["frame_ring"]["behind"])
    assert row_of("conn", "c0")[2:] == [
        str(one["epoch"]), *_told(one, *own), behind, *_told(one, "gaps", "lost"),
    ]  # fmt: skip
    assert (one["gaps"], one["lost"], one["reconnects"], one["errors"]) == (4, 5, 3, 2)
    assert row_of("reader", "mine")[1:] == [
        *_told(reader, "ticks_per_s", "lag", "lost", "laps"),
        *_percentiles(reader, "p50", "p99", "p999"),
    ]
    assert row_of("rings", "c0") == [
        one["account"], "-", *_told(one, "bytes_per_s"), duration(one["last_data_age_s"]),
        *_told(one, "reconnects", "errors"),
        f"{one['frame_ring']['fill_percent']:.1f}", f"{one['tick_stream']['fill_percent']:.1f}",
    ]  # fmt: skip
    [decoder] = document["decoders"]
    percentiles = _percentiles(decoder, "p50", "p99", "p999", "max")
    assert row_of("decoder", "d0") == [*_told(decoder, "commits"), *percentiles]
    [hosted] = document["strategies"]
    assert row_of("strategy", "bars") == [
        hosted["phase"], duration(hosted["phase_s"]),
        *_told(hosted, "calls", "ticks", "events", "lost", "errors", "printed", "dropped"),
    ]  # fmt: skip
    assert row_of("gateway", ":8765") == [
        f"{gateway['authenticated']}/{gateway['clients']}",
        *_told(gateway, "subscriptions", "messages_per_s", "conflated", "dropped", "cut",
               "refused", "lost"),
        *_percentiles(gateway, "p50", "p99"),
    ]  # fmt: skip
    assert all(len(line) <= 80 for line in lines_of(screen(status, recent, 200)))
