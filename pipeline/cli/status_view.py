"""An instance's status as tables for a terminal of 80 columns. Floor 6.

`whole` is everything, for `stat`; `screen` is what fits a number of lines, for `top`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.figures import count, duration, latency, mebibytes
from pipeline.core.clock import format_ist
from pipeline.services.status import InstanceStatus, problems
from pipeline.services.status.model import (
    Balance,
    Connection,
    Decoder,
    Latency,
    Process,
    Reader,
    Strategy,
)
from pipeline.services.status.rates import NONE, Rates

_STATES: Final = {
    "LIVE": "green", "QUIET": "yellow", "FAILED": "bold red", "STALLED": "red",
    "AUTH_EXPIRED": "bold red", "LIMITED": "yellow", "RECONNECTING": "yellow",
}  # fmt: skip
_PROBLEMS_SHOWN: Final = 3
_FEED_ERRORS: Final = (
    "protocol_errors", "utf8_errors", "too_big", "slow_frames", "ping_floods", "server_errors",
    "handshake_failures",
)  # fmt: skip


def whole(status: InstanceStatus) -> RenderableType:
    """Return every section, as long as it takes."""
    parts: list[RenderableType] = [
        _headline(status), _supervisor(status), *_troubles(status, None), *_age(status), "",
        _connections(status, NONE, rates=False), "",
        _feeds(status.connections), "",
        _balances(status), "",
        _decoders(status.decoders), *_bad_frames(status.decoders), "",
        _processes(status.processes), "",
        *_hosted(status.strategies),
        _readers(status.readers, NONE, rates=False),
    ]  # fmt: skip
    return Group(*parts)


def screen(status: InstanceStatus, rates: Rates, lines: int) -> RenderableType:
    """Return what fits `lines`: head, connections, readers, strategies that are hosted, processes,
    in this order."""
    parts: list[RenderableType] = [
        _headline(status), *_troubles(status, _PROBLEMS_SHOWN), *_age(status),
    ]  # fmt: skip
    connections, readers, processes = status.connections, status.readers, status.processes
    strategies = status.strategies
    sections: list[tuple[int, Callable[[int], Table]]] = [
        (len(connections), lambda n: _connections(status, rates, rates=True, limit=n)),
        (len(readers), lambda n: _readers(readers[:n], rates, rates=True)),
        (len(processes), lambda n: _processes(processes[:n])),
    ]
    if strategies:
        sections.insert(2, (len(strategies), lambda n: _strategies(strategies[:n])))
    rooms = share_lines([total for total, _ in sections], lines - len(parts))
    for (total, table), room in zip(sections, rooms, strict=False):
        shown = total if total <= room else room - 1
        parts += ["", table(shown)]
        if shown < total:
            parts.append(Text(f"and {total - shown} more", style="dim"))
    return Group(*parts)


def share_lines(totals: Sequence[int], lines: int) -> list[int]:
    """Return how many rows each section may have, the first ones first.

    A section costs a blank line, a head and at least two rows, or the one that it has; a section
    that has no room is left out, and so are those behind it.
    """
    wanted = [max(total, 1) for total in totals]
    least = [min(total, 2) for total in wanted]
    while least and sum(least) + 2 * len(least) > lines:
        least.pop()
    spare = lines - sum(least) - 2 * len(least)
    rooms = []
    for total, rows in zip(wanted, least, strict=False):
        more = min(total - rows, spare)
        rooms.append(rows + more)
        spare -= more
    return rooms


# ---- head -----------------------------------------------------------------------------------


def _headline(status: InstanceStatus) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(status.name, style="bold")
    if status.live:
        text.append(f"  {status.state}", style="green" if status.state == "RUNNING" else "yellow")
        text.append(f"  up {duration(status.uptime_s)}  supervisor {status.supervisor_pid}")
    else:
        text.append("  DEAD", style="bold red")
        text.append(f"  was {status.state}, supervisor {status.supervisor_pid} is gone")
    text.append(f"  {mebibytes(status.shm_bytes)}")
    return text


def _supervisor(status: InstanceStatus) -> Text:
    gated = ", gated" if status.gated else ""
    return Text(
        f"started {format_ist(status.started_ts_ns)}, {count(status.forks)} forks, "
        f"{count(status.deaths)} deaths, {count(status.kills)} kills, "
        f"manifest {status.manifest_version}{gated}"
    )


def _age(status: InstanceStatus) -> list[Text]:
    """Say of a dead instance's tables that they are history."""
    return [] if status.live else [Text("below: what was last known before it died", style="dim")]


def _troubles(status: InstanceStatus, limit: int | None) -> list[Text]:
    found = problems(status)
    if not found:
        return [Text("healthy", style="green")] if limit is None else []
    lines = [Text(f"! {line}", style="yellow", no_wrap=True, overflow="ellipsis")
             for line in found[:limit]]  # fmt: skip
    if limit is not None and len(found) > limit:
        lines[-1] = Text(f"! and {len(found) - limit + 1} problems more", style="yellow")
    return lines


# ---- tables ---------------------------------------------------------------------------------


def _table(*columns: str, gap: int = 2) -> Table:
    """A table without lines; a column whose name begins with < is flush left."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for column in columns:
        left = column.startswith("<")
        table.add_column(column.lstrip("<"), justify="left" if left else "right", no_wrap=True)
    return table


def _connections(
    status: InstanceStatus, figures: Rates, *, rates: bool, limit: int | None = None
) -> Table:
    rows = status.connections[:limit]
    state = "<state" if status.live else "<last state"
    table = _table(
        "<conn", state, "since", "epoch", "assigned", "wire", "confirmed",
        "ticks/s" if rates else "ticks", "lag", "gaps", "lost", gap=1,
    )  # fmt: skip
    for row in rows:
        counters, sets = row.decode_counters, row.instruments
        ticks = figures.ticks.get(row.number) if rates else counters["ticks_out"]
        table.add_row(
            f"c{row.number}",
            Text(row.state, style=_STATES.get(row.state, "") if status.live else "dim"),
            duration(row.since_s),
            str(row.connection_epoch),
            count(sets.assigned),
            count(sets.wire),
            count(sets.confirmed),
            "-" if ticks is None else count(ticks),
            count(row.frames.behind),
            count(counters["gaps_out"]),
            count(counters["frames_overrun"] + counters["frames_quarantined"]),
        )
    if not rows:
        table.add_row("none")
    return table


def _feeds(rows: Sequence[Connection]) -> Table:
    table = _table(
        "<feed",
        "<account",
        "last byte",
        "reconnects",
        "stalls",
        "resets",
        "errors",
        "ring %",
        "stream %",
        gap=1,
    )
    for row in rows:
        found = row.feed_counters
        errors = sum(found[name] for name in _FEED_ERRORS)
        table.add_row(
            f"c{row.number}",
            row.account[:16],
            duration(row.last_byte_age_s),
            *(count(found[name]) for name in ("reconnects", "stalls", "resets")),
            Text(count(errors), style="yellow" if errors else ""),
            f"{row.frames.fill_percent:.1f}",
            f"{row.ticks.fill_percent:.1f}",
        )
    return table


def _decoders(rows: Sequence[Decoder]) -> Table:
    table = _table("<decoder", "commits", "paced", "rolled forward", "p50", "p99", "p99.9")
    for row in rows:
        table.add_row(
            f"d{row.number}",
            *(count(value) for value in (row.commits, row.paced, row.rolled_forward)),
            *_percentiles(row.receive_to_publish),
        )
    return table


def _bad_frames(rows: Sequence[Decoder]) -> Iterator[Text]:
    for row in rows:
        if row.bad_frame is not None:
            bad = row.bad_frame
            where = f"frame {bad.source_sequence} of c{bad.connection}, {bad.frame_bytes} bytes"
            yield Text(f"d{row.number}: {bad.fault} at {format_ist(bad.receive_ts_ns)}: {where}")
            yield Text(f"    {bad.beginning}")


def _processes(rows: Sequence[Process]) -> Table:
    table = _table("<process", "pid", "up", "restarts", "<last exit")
    for row in rows:
        ended = f"{row.last_exit_code} {row.last_exit_reason}" if row.last_exit_reason else ""
        if row.circuit_open:
            ended += ", circuit open"
        gone = Text("done") if row.is_done else Text("dead", style="red")
        pid = Text(str(row.pid)) if row.alive else gone
        up = duration(row.uptime_s) if row.alive else "-"
        table.add_row(row.name, pid, up, count(row.restarts), ended)
    if not rows:
        table.add_row("none")
    return table


def _hosted(rows: Sequence[Strategy]) -> Iterator[RenderableType]:
    if rows:
        yield _strategies(rows)
        yield ""


def _strategies(rows: Sequence[Strategy]) -> Table:
    table = _table(
        "<strategy", "<doing", "for", "calls", "ticks", "events", "lost", "errors", "printed", gap=1
    )
    for row in rows:
        table.add_row(
            row.name,
            Text(row.phase or "-", style="yellow" if row.is_slow else ""),
            duration(row.phase_s) if row.phase_s is not None else "-",
            *(count(value) for value in (row.calls, row.ticks, row.events)),
            Text(count(row.lost), style="yellow" if row.lost else ""),
            Text(count(row.exceptions), style="yellow" if row.exceptions else ""),
            count(row.output_lines + row.output_lines_dropped),
        )
    return table


def _readers(rows: Sequence[Reader], figures: Rates, *, rates: bool) -> Table:
    table = _table(
        "<reader", "pid", "ticks/s" if rates else "ticks", "lag", "lost", "laps",
        "p50", "p99", "p99.9",
    )  # fmt: skip
    for row in rows:
        ticks = figures.delivered.get((row.name, row.pid)) if rates else row.delivered
        table.add_row(
            row.name[:20],
            str(row.pid) if row.alive else Text(f"{row.pid} dead", style="red"),
            "-" if ticks is None else count(ticks),
            count(row.lag),
            Text(count(row.lost), style="yellow" if row.lost else ""),
            count(row.laps),
            *_percentiles(row.latency),
        )
    if not rows:
        table.add_row("none")
    return table


def _percentiles(found: Latency) -> Iterator[str]:
    for value in (found.p50_ns, found.p99_ns, found.p999_ns):
        yield latency(value) if found.samples else "-"


def _balances(status: InstanceStatus) -> Table:
    table = _table("<stage (sums)", "in", "out", "dropped", "off")
    stages: dict[str, list[Balance]] = {}
    for connection in status.connections:
        for balance in connection.balances:
            stages.setdefault(balance.stage, []).append(balance)
    for stage, found in stages.items():
        off = sum(abs(balance.difference) for balance in found)
        table.add_row(
            stage,
            f"{sum(b.came_in for b in found):,}",
            f"{sum(b.went_out for b in found):,}",
            f"{sum(b.dropped for b in found):,}",
            Text(f"{off:,}", style="red" if off > len(found) else ""),
        )
    return table
