"""The gateway's lines in `stat` and `top`. Floor 6."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from pipeline.cli.figures import count, latency
from pipeline.services.status.model import Gateway

_CUTS = ("cut_stalled", "cut_backlog", "cut_silent", "cut_protocol")


def table(gateway: Gateway) -> Table:
    """Return one row: who is there, and what became of the messages."""
    found = Table(box=None, pad_edge=False, header_style="dim")
    heads = ("gateway", "clients", "subs", "sent", "conflated", "dropped", "cut", "p50", "p99")
    for place, head in enumerate(heads):
        found.add_column(head, justify="left" if place == 0 else "right", no_wrap=True)
    counters, ages = gateway.counters, gateway.receive_to_send
    cut = sum(counters[name] for name in _CUTS)
    found.add_row(
        f":{gateway.port}",
        f"{gateway.authenticated}/{gateway.clients}",
        count(gateway.subscriptions),
        count(counters["messages_sent"]),
        count(counters["messages_conflated"]),
        count(counters["messages_dropped"]),
        Text(str(cut), style="yellow" if cut else ""),
        latency(ages.p50_ns) if ages.samples else "",
        latency(ages.p99_ns) if ages.samples else "",
    )
    return found
