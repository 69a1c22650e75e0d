"""The gateway's line in `stat` and `top`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from pipeline.cli.gateway_view import table
from pipeline.services.status.gateways import read_gateway
from tests.services.status.test_gateways import PROCESS, page_in


def test_a_row_says_who_is_there_and_what_became_of_the_messages(tmp_path: Path) -> None:
    paths, page = page_in(tmp_path)
    record = page.record
    record["messages_offered"], record["messages_sent"] = 2_000, 1_600
    record["messages_conflated"], record["port"] = 400, 8765
    record["clients"], record["authenticated"] = 3, 2
    record["cut_stalled"], record["cut_silent"] = 1, 2
    record["refused"], record["keys_refused"], record["ticks_lost"] = 4, 5, 6
    page.histogram("receive_to_send").record(400_000)
    gateway = read_gateway(paths, [PROCESS], 0)
    assert gateway is not None
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table(gateway))
    lines = capture.get().splitlines()
    assert "conflated" in lines[0]
    assert lines[1].split()[:9] == [
        ":8765", "2/3", "0", "1.60k", "400", "0", "3", "9", "6",
    ]  # fmt: skip
