"""An instance's status as tables for a terminal of 80 columns, or fewer with less. Floor 6.

`whole` is everything, for `stat`; `screen` is what fits a number of lines, for `top`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli import gateway_view
from pipeline.cli.figures import count, duration, latency, mebibytes
from pipeline.cli.tables import PlainLine, plain_table
from pipeline.cli.top_pool import PoolView
from pipeline.core.clock import NS_PER_S, format_ist, format_ist_time
from pipeline.services.control.screen.document import FEED_ERRORS
from pipeline.services.control.timeline import Happening
from pipeline.services.status import InstanceStatus, problems
from pipeline.services.status.model import (
    Balance,
    Connection,
    Decoder,
    Gateway,
    Latency,
    Process,
    Reader,
    Strategy,
)
from pipeline.services.status.recent import NOTHING, Recent

_STATES: Final = {
    "LIVE": "green", "QUIET": "yellow", "FAILED": "bold red", "STALLED": "red",
    "AUTH_EXPIRED": "bold red", "LIMITED": "yellow", "RECONNECTING": "yellow",
}  # fmt: skip
_PROBLEMS_SHOWN: Final = 3
_HAPPENINGS_SHOWN: Final = 12


def whole(status: InstanceStatus) -> RenderableType:
    """Return every section, as long as it takes."""
    parts: list[RenderableType] = [
        _headline(status), _supervisor(status), *_troubles(status, None), *_age(status), "",
        _connections(status, NOTHING, rates=False), "",
        _feeds(status.connections), "",
        _balances(status), "",
        _decoders(status.decoders), *_bad_frames(status.decoders), "",
        _processes(status.processes), "",
        *_hosted(status.strategies),
        *_gateway(status),
        _readers(status.readers, NOTHING, rates=False),
    ]  # fmt: skip
    return Group(*parts)


def screen(
    status: InstanceStatus, recent: Recent, lines: int, pool: PoolView | None = None,
    happenings: Sequence[Happening] = (),
) -> RenderableType:  # fmt: skip
    """Return what fits `lines`: head, connections, readers, rings, decoders, strategies that are
    hosted, processes, the pool's plan, what has happened; in this order."""
    parts: list[RenderableType] = [
        _headline(status), *_pool_line(pool), *_troubles(status, _PROBLEMS_SHOWN, _alerts(pool)),
        *_age(status),
    ]  # fmt: skip
    sections = _sections(status, recent, pool, list(reversed(happenings)))
    if status.gateway is not None:
        lines -= 3 + len(_reasons(status.gateway))
    rooms = share_lines([total for total, _ in sections], lines - len(parts))
    for (total, table), room in zip(sections, rooms, strict=False):
        shown = total if total <= room else room - 1
        parts += ["", table(shown)]
        if shown < total:
            parts.append(Text(f"and {total - shown} more", style="dim"))
    if status.gateway is not None:
        parts += ["", gateway_view.table(status.gateway, recent), *_reasons(status.gateway)]
    return Group(*parts)


def _sections(
    status: InstanceStatus, recent: Recent, pool: PoolView | None, happenings: Sequence[Happening]
) -> list[tuple[int, Callable[[int], Table]]]:
    """Return each section's number of rows, and what shows the first so many of them."""
    figures = pool.figures if pool is not None else {}
    scores, accounts = figures.get("scores", {}), figures.get("accounts", [])
    rows, readers, processes = status.connections, status.readers, status.processes
    strategies, decoders = status.strategies, status.decoders
    found: list[tuple[int, Callable[[int], Table]]] = [
        (len(rows), lambda n: _connections(status, recent, rates=True, limit=n)),
        (len(readers), lambda n: _readers(readers[:n], recent, rates=True)),
    ]
    if rows:
        found.append((len(rows), lambda n: _rings(rows[:n], recent, scores)))
        found.append((len(decoders), lambda n: _latencies(decoders[:n], recent)))
    if strategies:
        found.append((len(strategies), lambda n: _strategies(strategies[:n])))
    found.append((len(processes), lambda n: _processes(processes[:n])))
    if accounts:
        found.append((len(accounts), lambda n: _plan(accounts[:n])))
    if happenings:
        newest = happenings[:_HAPPENINGS_SHOWN]
        found.append((len(newest), lambda n: _happenings(newest[:n])))
    return found


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


def _headline(status: InstanceStatus) -> PlainLine:
    name, size = Text(status.name, style="bold"), Text(mebibytes(status.shm_bytes))
    if not status.live:
        return PlainLine(
            name, Text("DEAD", style="bold red"),
            Text(f"was {status.state}, supervisor {status.supervisor_pid} is gone"), size,
        )  # fmt: skip
    return PlainLine(
        name, Text(status.state, style="green" if status.state == "RUNNING" else "yellow"),
        Text(f"up {duration(status.uptime_s)}"), Text(f"supervisor {status.supervisor_pid}"), size,
    )  # fmt: skip


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


def _pool_line(pool: PoolView | None) -> list[RenderableType]:
    if pool is None:
        return []
    if pool.problem:
        return [PlainLine.of_words(f"pool: {pool.problem}", "yellow")]
    figures = pool.figures
    style = "green" if figures["state"] == "healthy" else "yellow"
    parts = [Text(f"pool {figures['state']} {figures['score']:.0f}/100", style=style)]
    for name in ("orphaned", "moving"):  # first: a narrow terminal has no room for the last
        if figures[name]:
            parts.append(Text(f"{name} {count(figures[name])}", style="yellow"))
    for name in ("desired", "confirmed"):
        parts.append(Text(f"{name} {count(figures[name])}", style="dim"))
    return [PlainLine(*parts)]


def _alerts(pool: PoolView | None) -> list[str]:
    return [f"{one['subject']}: {one['text']}" for one in pool.alerts] if pool else []


def _troubles(
    status: InstanceStatus, limit: int | None, more: Sequence[str] = ()
) -> list[RenderableType]:
    """Return a line for each problem; without a limit as many lines as they take."""
    found = [*more, *problems(status)]
    if limit is None:
        return [Text(f"! {line}", style="yellow") for line in found] or [
            Text("healthy", style="green")
        ]
    lines: list[RenderableType] = [
        PlainLine.of_words(f"! {line}", "yellow") for line in found[:limit]
    ]
    if len(found) > limit:
        lines[-1] = Text(f"! and {len(found) - limit + 1} problems more", style="yellow")
    return lines


# ---- tables ---------------------------------------------------------------------------------


def _connections(
    status: InstanceStatus, recent: Recent, *, rates: bool, limit: int | None = None
) -> Table:
    rows = status.connections[:limit]
    state = "<state" if status.live else "<last state"
    table = plain_table(
        "<conn", state, "?since", "?epoch", "?assigned", "?wire", "confirmed",
        "ticks/s" if rates else "ticks", "lag", "gaps", "lost", gap=1,
    )  # fmt: skip
    for row in rows:
        counters, sets = row.decode_counters, row.instruments
        ticks = recent.rates.ticks.get(row.number) if rates else counters["ticks_out"]
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
    table = plain_table(
        "<feed",
        "?<account",
        "last byte",
        "reconnects",
        "?stalls",
        "?resets",
        "errors",
        "?ring %",
        "?stream %",
        gap=1,
    )
    for row in rows:
        found = row.feed_counters
        errors = sum(found[name] for name in FEED_ERRORS)
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


def _rings(
    rows: Sequence[Connection], recent: Recent, scores: Mapping[str, Mapping[str, Any]]
) -> Table:
    table = plain_table(
        "<rings", "?<account", "health", "?bytes/s", "last data", "reconnects", "errors", "?ring %",
        "?stream %", gap=1,
    )  # fmt: skip
    for row in rows:
        found, score = row.feed_counters, scores.get(str(row.number))
        speed = recent.rates.bytes.get(row.number)
        errors = sum(found[name] for name in FEED_ERRORS)
        table.add_row(
            f"c{row.number}",
            row.account[:14],
            "-" if score is None else f"{score['score']:.0f}",
            "-" if speed is None else count(speed),
            duration(row.last_data_age_s),
            count(found["reconnects"]),
            Text(count(errors), style="yellow" if errors else ""),
            f"{row.frames.fill_percent:.1f}",
            f"{row.ticks.fill_percent:.1f}",
        )
    return table


def _latencies(rows: Sequence[Decoder], recent: Recent) -> Table:
    table = plain_table("<decoder", "?commits", "p50", "p99", "p99.9", "?max")
    for row in rows:
        found = recent.published.get(row.number, gateway_view.NO_SAMPLES)
        largest = latency(found.max_ns) if found.samples else "-"
        table.add_row(f"d{row.number}", count(row.commits), *_percentiles(found), largest)
    return table


def _plan(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table(
        "<account", "?<policy", "conns", "of", "instruments", "?room", "waiting", gap=1
    )
    for row in rows:
        room = row["per_connection"] * row["connections_max"] - row["instruments"]
        table.add_row(
            row["name"][:16], row["policy"], str(len(row["connections"])),
            str(row["connections_max"]), f"{row['instruments']:,}", f"{room:,}",
            Text(f"{row['waiting']:,}", style="yellow" if row["waiting"] else ""),
        )  # fmt: skip
    return table


def _happenings(rows: Sequence[Happening]) -> Table:
    table = plain_table("<happened", "?<on (IST)", "<conn", "<what", "?lasted", "?<why")
    for row in rows:
        lasted = (row.end_ts_ns - row.start_ts_ns) / NS_PER_S
        whose = f" of {row.instruments}" if row.instruments else ""
        table.add_row(
            format_ist_time(row.end_ts_ns), format_ist(row.end_ts_ns)[:10],
            f"c{row.connection}", f"{row.state or row.kind}{whose}",
            "" if row.state else duration(lasted), row.reason.lower().replace("_", " "),
        )  # fmt: skip
    return table


def _decoders(rows: Sequence[Decoder]) -> Table:
    table = plain_table("<decoder", "commits", "?paced", "?rolled forward", "p50", "p99", "p99.9")
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
    table = plain_table("<process", "?pid", "?up", "restarts", "<last exit")
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


def _gateway(status: InstanceStatus) -> Iterator[RenderableType]:
    if status.gateway is not None:
        yield gateway_view.table(status.gateway)
        yield from _reasons(status.gateway)
        yield ""


def _reasons(gateway: Gateway) -> list[RenderableType]:
    found = gateway_view.reasons(gateway)
    return [] if found is None else [found]


def _hosted(rows: Sequence[Strategy]) -> Iterator[RenderableType]:
    if rows:
        yield _strategies(rows)
        yield ""


def _strategies(rows: Sequence[Strategy]) -> Table:
    columns = [
        "<strategy",
        "<doing",
        "for",
        "?calls",
        "ticks",
        "?events",
        "lost",
        "errors",
        "?printed",
    ]
    has_dropped = any(row.dropped for row in rows)
    if has_dropped:
        columns.append("dropped")
    table = plain_table(*columns, gap=1)
    for row in rows:
        table.add_row(
            row.name,
            Text(row.phase or "-", style="yellow" if row.is_slow else ""),
            duration(row.phase_s) if row.phase_s is not None else "-",
            *(count(value) for value in (row.calls, row.ticks, row.events)),
            Text(count(row.lost), style="yellow" if row.lost else ""),
            Text(count(row.exceptions), style="yellow" if row.exceptions else ""),
            count(row.output_lines + row.output_lines_dropped),
            *([Text(count(row.dropped), style="yellow")] if has_dropped else []),
        )
    return table


def _readers(rows: Sequence[Reader], recent: Recent, *, rates: bool) -> Table:
    table = plain_table(
        "<reader", "?pid", "ticks/s" if rates else "ticks", "lag", "lost", "?laps",
        "?p50", "p99", "?p99.9",
    )  # fmt: skip
    for row in rows:
        key = row.name, row.pid
        ticks = recent.rates.delivered.get(key) if rates else row.delivered
        taken = recent.delivered.get(key, gateway_view.NO_SAMPLES) if rates else row.latency
        table.add_row(
            row.name[:20],
            str(row.pid) if row.alive else Text(f"{row.pid} dead", style="red"),
            "-" if ticks is None else count(ticks),
            count(row.lag),
            Text(count(row.lost), style="yellow" if row.lost else ""),
            count(row.laps),
            *_percentiles(taken),
        )
    if not rows:
        table.add_row("none")
    return table


def _percentiles(found: Latency) -> Iterator[str]:
    for value in (found.p50_ns, found.p99_ns, found.p999_ns):
        yield latency(value) if found.samples else "-"


def _balances(status: InstanceStatus) -> Table:
    table = plain_table("<stage (sums)", "in", "out", "dropped", "off")
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
