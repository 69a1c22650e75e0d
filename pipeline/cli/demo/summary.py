"""The demo's last word: per stage in and out, gaps, latencies, the verdict. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.cli.demo.act import Act
from pipeline.cli.demo.live import duration
from pipeline.cli.demo.readings import Reading, reader_dict
from pipeline.cli.demo.scenario import FAST
from pipeline.cli.demo.verdict import Outcome
from pipeline.core.clock import format_ist_time
from pipeline.services.status.connections import (
    FEED_OUT,
    FRAMES_DROPPED,
    FRAMES_OUT,
    PACKETS_DROPPED,
)

_MIB = 2**20


def report(act: Act, outcome: Outcome, leftovers: list[str]) -> dict[str, Any]:
    """Return everything as plain values; `passed` decides the exit code."""
    seconds = act.last.mono_s - act.first.mono_s
    ticks = act.last.delivered - act.first.delivered
    problems = [*outcome.problems, *(f"left behind: {thing}" for thing in leftovers)]
    return {
        "passed": not problems,
        "problems": problems,
        "start_s": act.stage.start_s,
        "seconds": seconds,
        "ticks_per_s": ticks / seconds,
        "stages": stages(act.end, outcome),
        "verdict": outcome.verdict.as_dict(),
        "gaps": [told for told in outcome.fast.get("told", []) if told["kind"] == "Gap"],
        "reconnects": reconnects(outcome.fast.get("told", [])),
        "readers": {
            name: reader_dict(reader, act.last.latency(name, since=act.first))
            for name, reader in act.end.readers.items()
        },
        "slow": {key: outcome.slow.get(key) for key in ("delivered", "lost", "laps")},
        "processes": processes(act.first, act.last),
        "leftovers": leftovers,
    }


def stages(end: Reading, outcome: Outcome) -> list[dict[str, Any]]:
    """Return a row per stage: what came in, what went out, what was dropped.

    Each figure is counted where it stands, none follows from the others in its row. Nothing goes
    into the exchange, which makes its packets.
    """
    feeds = _sum([c.feed_counters for c in end.status.connections])
    total = _sum([c.decode_counters for c in end.status.connections])
    messages_out = sum(feeds[key] for key in FEED_OUT)
    frames_out = sum(total[key] for key in FRAMES_OUT)
    frames_dropped = sum(total[key] for key in FRAMES_DROPPED)
    packets_dropped = sum(total[key] for key in PACKETS_DROPPED)
    return [
        {"stage": "exchange", "unit": "packets", "in": None,
         "out": outcome.verdict.sent, "dropped": None},
        {"stage": "feeds", "unit": "messages", "in": feeds["messages_in"],
         "out": messages_out, "dropped": feeds["messages_dropped"]},
        {"stage": "decoder", "unit": "frames", "in": total["frames_in"],
         "out": frames_out, "dropped": frames_dropped},
        {"stage": "decoder", "unit": "packets", "in": total["packets_in"],
         "out": total["ticks_out"], "dropped": packets_dropped},
        {"stage": "fast strategy", "unit": "ticks", "in": total["ticks_out"],
         "out": outcome.fast.get("delivered", 0), "dropped": outcome.fast.get("lost", 0)},
        {"stage": "slow strategy", "unit": "ticks", "in": total["ticks_out"],
         "out": outcome.slow.get("delivered", 0), "dropped": outcome.slow.get("lost", 0)},
    ]  # fmt: skip


def _sum(counters: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(each[key] for each in counters) for key in counters[0]}


def reconnects(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each interruption with the time until the connection was live again."""
    broken: dict[int, dict[str, Any]] = {}
    found = []
    for item in told:
        if item["kind"] != "StateChange":
            continue
        connection = item["connection"]
        if item["state"] in ("STALLED", "RECONNECTING"):
            broken.setdefault(connection, item)
        elif item["state"] == "LIVE" and connection in broken:
            start = broken.pop(connection)
            found.append(
                {
                    "connection": connection,
                    "reason": start["reason"],
                    "live_after_s": (item["mono_ns"] - start["mono_ns"]) / 1e9,
                }
            )
    return found


def processes(first: Reading, last: Reading) -> list[dict[str, Any]]:
    """Return each process's share of a core over the measured time, and its memory."""
    before = {p.pid: p.cpu_s for p in first.processes}
    seconds = last.mono_s - first.mono_s
    return [
        {
            "name": p.name,
            "cpu_percent": 100 * (p.cpu_s - before.get(p.pid, 0.0)) / seconds,
            "rss_bytes": p.rss_bytes,
        }
        for p in last.processes
    ]


def print_json(result: dict[str, Any]) -> None:
    """Print the report as one JSON document."""
    print(json.dumps(result, indent=2))


def print_text(result: dict[str, Any]) -> None:
    """Print the report for a person; fits 80 columns."""
    console = Console(highlight=False, soft_wrap=False)
    console.print(_stage_table(result["stages"]))
    console.print(_gap_table(result["gaps"]))
    for row in result["reconnects"]:
        console.print(
            f"connection {row['connection']}: live {row['live_after_s']:.2f} s after "
            f"{row['reason']} was noticed"
        )
    console.print(_process_table(result["processes"]))
    _print_latency(console, result)
    _print_verdict(console, result)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold",
                  header_style="dim", padding=(0, 2, 0, 0))  # fmt: skip
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number > 0 else "left", no_wrap=True)
    return table


def _stage_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("\nstages", "stage", "unit", "in", "out", "dropped, counted")
    for row in rows:
        counts = ["-" if row[key] is None else f"{row[key]:,}" for key in ("in", "out", "dropped")]
        table.add_row(row["stage"], row["unit"], *counts)
    return table


def _gap_table(gaps: list[dict[str, Any]]) -> Table:
    table = _table(
        "\ngaps that the strategies were told of (IST)",
        "connection",
        "from",
        "to",
        "lasted",
        "reason",
    )
    for gap in gaps:
        table.add_row(
            str(gap["connection"]),
            format_ist_time(gap["start_ts_ns"]),
            format_ist_time(gap["end_ts_ns"]),
            duration(gap["end_mono_ns"] - gap["start_mono_ns"]),
            str(gap["reason"]),
        )
    return table


def _process_table(rows: list[dict[str, Any]]) -> Table:
    table = _table("\nprocesses", "process", "CPU, % of a core", "memory, MiB")
    for row in rows:
        table.add_row(row["name"], f"{row['cpu_percent']:.1f}", f"{row['rss_bytes'] / _MIB:.0f}")
    return table


def _print_latency(console: Console, result: dict[str, Any]) -> None:
    fast, slow = result["readers"].get(FAST), result["slow"]
    console.print()
    if fast:
        latency = [duration(fast[f"latency_{q}_ns"]) for q in ("p50", "p99", "p999")]
        console.print(
            f"receive to strategy: p50 {latency[0]}, p99 {latency[1]}, p99.9 {latency[2]}"
        )
    console.print(f"first tick {result['start_s']:.2f} s after the command")
    console.print(f"{result['ticks_per_s']:,.0f} ticks/s delivered over {result['seconds']:.1f} s")
    if slow["delivered"] is not None:
        console.print(
            f"slow strategy: {slow['delivered']:,} ticks, lapped {slow['laps']:,} times, "
            f"told of {slow['lost']:,} lost"
        )


def _print_verdict(console: Console, result: dict[str, Any]) -> None:
    verdict = result["verdict"]
    console.print(
        f"\n[bold]the exchange's log against the strategy's log[/]\n"
        f"{verdict['sent']:,} sent, {verdict['received']:,} received, "
        f"{verdict['doubled']:,} doubled, {verdict['out_of_order']:,} out of order\n"
        f"{verdict['lost']:,} lost, {verdict['lost_outside_gaps']:,} of them outside the gaps "
        f"above, {verdict['gaps_too_wide']:,} gaps too wide"
    )
    if result["passed"]:
        console.print("[bold green]every tick is accounted for, and nothing is left behind[/]")
        return
    console.print("[bold red]not everything is accounted for:[/]")
    for problem in result["problems"]:
        console.print(f"  {problem}")
