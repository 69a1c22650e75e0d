"""The gateway's line in `stat` and `top`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from pipeline.cli.gateway_view import reasons, table
from pipeline.services.status.gateways import read_gateway
from tests.services.status.test_gateways import PROCESS, page_in


def test_a_row_says_who_is_there_and_what_became_of_the_messages(tmp_path: Path) -> None:
    paths, page = page_in(tmp_path)
    record = page.record
    record["messages_offered"], record["messages_sent"] = 2_000, 1_600
    record["messages_conflated"], record["port"] = 400, 8765
    record["clients"], record["authenticated"] = 3, 2
    record["cut_stalled"], record["cut_silent"] = 1, 2
    record["refused_origin"], record["refused_banned"], record["keys_refused"] = 3, 1, 5
    record["ticks_lost"], record["orders_lost"] = 4, 2
    page.histogram("receive_to_send").record(400_000)
    gateway = read_gateway(paths, [PROCESS], 0)
    assert gateway is not None
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table(gateway))
        console.print(reasons(gateway))
    lines = capture.get().splitlines()
    assert "conflated" in lines[0]
    assert lines[1].split()[:9] == [
        ":8765", "2/3", "0", "1.60k", "400", "0", "3", "9", "6",
    ]  # fmt: skip
    assert " ".join(" ".join(lines[2:]).split()).split("; ") == [
        "cut: stalled 1, silent 2", "refused: origin 3, banned 1, keys 5",
        "lost: ticks 4, orders 2",
    ]  # fmt: skip


def test_where_nothing_went_wrong_nothing_is_told(tmp_path: Path) -> None:
    paths, _ = page_in(tmp_path)
    gateway = read_gateway(paths, [PROCESS], 0)
    assert gateway is not None and reasons(gateway) is None
