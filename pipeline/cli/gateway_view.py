"""The gateway's lines in `stat` and `top`. Floor 6."""

from __future__ import annotations

from typing import Final

from rich.table import Table
from rich.text import Text

from pipeline.cli.figures import count, latency
from pipeline.cli.tables import plain_table
from pipeline.services.status.model import Gateway, Latency
from pipeline.services.status.recent import Recent

NO_SAMPLES: Final = Latency(samples=0, p50_ns=0, p99_ns=0, p999_ns=0, max_ns=0)


def table(gateway: Gateway, recent: Recent | None = None) -> Table:
    """Return one row: who is there, and what became of the messages.

    With `recent` what is sent is a rate, and latencies are those of the last looks.
    """
    sent = "sent" if recent is None else "sent/s"
    found = plain_table(
        "<gateway", "clients", "?subs", sent, "?conflated", "dropped", "?cut", "?refused", "lost",
        "p50", "p99", gap=1,
    )  # fmt: skip
    counters = gateway.counters
    ages = gateway.receive_to_send if recent is None else recent.sent or NO_SAMPLES
    total = counters["messages_sent"] if recent is None else recent.messages_per_s
    cut, lost = sum(gateway.cut_by.values()), sum(gateway.lost_by.values())
    found.add_row(
        f":{gateway.port}",
        f"{gateway.authenticated}/{gateway.clients}",
        count(gateway.subscriptions),
        "-" if total is None else count(total),
        count(counters["messages_conflated"]),
        count(counters["messages_dropped"]),
        Text(str(cut), style="yellow" if cut else ""),
        count(sum(gateway.refused_by.values())),
        Text(count(lost), style="red" if lost else ""),
        latency(ages.p50_ns) if ages.samples else "-",
        latency(ages.p99_ns) if ages.samples else "-",
    )
    return found


def reasons(gateway: Gateway) -> Text | None:
    """Return a line: why clients were cut and turned away, what was lost; None: nothing was."""
    groups = ("cut", gateway.cut_by), ("refused", gateway.refused_by), ("lost", gateway.lost_by)
    told = []
    for name, by in groups:
        found = [f"{why.replace('_', ' ')} {count(number)}" for why, number in by.items() if number]
        if found:
            told.append(f"{name}: {', '.join(found)}")
    return Text("; ".join(told), style="dim") if told else None
