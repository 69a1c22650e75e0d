"""A pool's documents as tables for a terminal of 80 columns, or fewer. Floor 6."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.cli.figures import count
from pipeline.cli.tables import plain_table

_BANDS: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "red", "critical": "red"}
_REFUSALS_SHOWN: Final = 5
_CLIENTS_SHOWN: Final = 3
_ACCOUNT_LENGTH: Final = 16


def stats_view(
    accounts: Mapping[str, Mapping[str, Any]], pool: Mapping[str, int] | None, width: int = 80
) -> RenderableType:
    """Return the accounts, each with its connections; `pool` is what all of it comes to.

    What has no room in `width` columns is left out, the least important first.
    """
    parts: list[RenderableType] = [] if pool is None else [_sets(pool), ""]
    parts.append(_accounts(accounts, width))
    rows = [
        (name, row) for name, account in accounts.items() for row in account.get("connections", ())
    ]
    if rows:
        parts += ["", _connections(rows, width)]
    return Group(*parts)


def _sets(pool: Mapping[str, int]) -> Text:
    words = ("desired", "assigned", "wire", "confirmed", "orphaned", "moving")
    text = Text("  ".join(f"{word} {pool[word]:,}" for word in words if word in pool))
    if asked := pool.get("connections_asked"):
        text.append(f"\nat least {asked} connections, as `pool scale` said; `auto` ends that")
    if mirrored := pool.get("mirrored"):
        text.append(f"\n{mirrored:,} mirrored on two connections")
        if single := pool.get("mirrored_on_one"):
            text.append(f", {single:,} of them on one at present", style="yellow")
    if pool.get("orphaned"):
        text.stylize("yellow")
    return text


def _accounts(accounts: Mapping[str, Mapping[str, Any]], width: int) -> Table:
    table = _Narrow(
        width, ("<account", 0), ("<health", 0), ("conns", 40), ("wanted", 60), ("assigned", 0),
        ("room", 60), ("orphans", 50),
    )  # fmt: skip
    for name, found in accounts.items():
        if "error" in found:
            table.add(name[:_ACCOUNT_LENGTH], Text(str(found.get("message")), style="red"))
            continue
        room = found["total_capacity"] - found["total_subscribed_tokens"]
        table.add(
            name[:_ACCOUNT_LENGTH],
            _health(found.get("health")),
            str(found["total_connections"]),
            count(found["total_target_tokens"]),
            count(found["total_subscribed_tokens"]),
            count(room),
            _warned(found.get("orphaned", 0)),
        )
    return table.table


def _health(found: Mapping[str, Any] | None) -> Text:
    if not found:
        return Text("-")
    return Text(f"{found['score']:.0f} {found['state']}", style=_BANDS.get(found["state"], ""))


def _connections(rows: Iterable[tuple[str, Mapping[str, Any]]], width: int) -> Table:
    table = _Narrow(
        width, ("<conn", 0), ("<account", 60), ("<state", 0), ("assigned", 0), ("full", 40),
        ("wire", 80), ("conf.", 70), ("unconf", 80), ("ticks/s", 40), ("score", 60),
    )  # fmt: skip
    for account, row in rows:
        state = str(row.get("state", "LIVE" if row["connected"] else "-"))
        table.add(
            f"c{row['connection_id']}",
            account[:_ACCOUNT_LENGTH],
            Text(state, style="" if row["connected"] else "yellow"),
            count(row["subscribed_tokens"]),
            f"{row['utilization_percent']:.0f}%",
            *(
                count(row[key]) if key in row else "-"
                for key in ("wire_tokens", "confirmed_tokens")
            ),
            _warned(row.get("unconfirmed", 0)),
            _rate(row.get("tick_rate")),
            _score(row),
        )
    return table.table


def _rate(rates: Mapping[str, float] | None) -> str:
    return count(rates["s1"]) if rates and "s1" in rates else "-"


def _score(row: Mapping[str, Any]) -> Text:
    score = row.get("health_score")
    if score is None:
        return Text("-")
    return Text(f"{score:.0f}", style=_BANDS.get(str(row.get("health_band")), ""))


# ---- health ---------------------------------------------------------------------------------


def health_view(found: Mapping[str, Any]) -> RenderableType:
    """Return the health of a pool: its state, the connections that are not well, open alerts."""
    head = Text(f"{found['state']}  {found['score']:.0f} of 100")
    head.stylize(_BANDS.get(str(found["state"]), ""))
    parts: list[RenderableType] = [
        head,
        f"{found['healthy_connections']} of {found['total_connections']} connections are well, "
        f"{found['active_message_flows']} bring messages",
        f"{count(found['total_instruments'])} instruments, {found['orphaned']} orphaned, "
        f"{found['unconfirmed']} unconfirmed",
    ]
    rows = [row for row in found.get("connections", ()) if row["band"] != "healthy"]
    if rows:
        parts += ["", _unwell(rows)]
    for alert in found.get("alerts", ()):
        parts.append(Text(f"! {_alert(alert)}", style="yellow"))
    return Group(*parts)


def _unwell(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = plain_table("<conn", "score", "<band", "<because of")
    table.columns[-1].no_wrap = False
    for row in rows:
        causes = [f"{name} -{loss:.0f}" for name, loss in row["penalties"].items() if loss >= 0.5]
        table.add_row(
            f"c{row['connection_id']}",
            f"{row['score']:.0f}",
            Text(row["band"], style=_BANDS.get(row["band"], "")),
            ", ".join(causes),
        )
    return table


def _alert(alert: Mapping[str, Any]) -> str:
    text = alert.get("text") or alert.get("message") or ""
    return f"{alert.get('severity', '')} {alert.get('kind', '')}: {text}".strip()


# ---- subscriptions --------------------------------------------------------------------------


def subscriptions_table(rows: Iterable[Mapping[str, Any]], width: int = 80) -> Table:
    """Return what is wanted, where it is, and who wants it."""
    found = list(rows)
    owners = _owner_column(found)
    table = _Narrow(
        width, ("<instrument", 0), *owners, ("<mode", 0), ("<priority", 70), ("<where", 0),
        ("<wanted by", 60),
    )  # fmt: skip
    for row in found:
        names = row.get("clients", ())
        more = f" and {len(names) - _CLIENTS_SHOWN} more" if len(names) > _CLIENTS_SHOWN else ""
        table.add(
            str(row["instrument_token"]),
            *(row["owner"] for _ in owners),
            row["mode"],
            row["priority"],
            _where(row),
            ", ".join(names[:_CLIENTS_SHOWN]) + more,
        )
    return table.table


def _owner_column(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the column that says whose a row is, if that is not the same for all."""
    return [("<owner", 0)] if len({row.get("owner") for row in rows}) > 1 else []


def _where(row: Mapping[str, Any]) -> Text:
    if row.get("unplaced"):
        return Text(f"nowhere: {row['unplaced']}", style="yellow")
    if row.get("connection") is None:
        return Text("not yet", style="yellow")
    if row.get("orphaned"):
        return Text(f"c{row['connection']}, which is down", style="yellow")
    mirror, moving = row.get("mirror"), row.get("moving_to")
    both = "" if mirror is None else f" and c{mirror}"
    return Text(f"c{row['connection']}{both}" + (f" to c{moving}" if moving is not None else ""))


def clients_table(rows: Iterable[Mapping[str, Any]], width: int = 80) -> Table:
    """Return who wants how much."""
    found = list(rows)
    owners = _owner_column(found)
    table = _Narrow(
        width, ("<client", 0), *owners, ("pid", 60), ("<is", 0), ("instruments", 0), ("ltp", 80),
        ("quote", 80), ("full", 80),
    )  # fmt: skip
    for row in found:
        here = "durable" if row["durable"] else "here" if row["connected"] else "gone"
        modes = row.get("modes", {})
        table.add(
            row["name"][:32],
            *(row["owner"] for _ in owners),
            str(row["pid"] or "-"),
            Text(here, style="yellow" if here == "gone" else ""),
            count(row["instruments"]),
            *(count(modes.get(mode, 0)) for mode in ("ltp", "quote", "full")),
        )
    return table.table


def refusals(refused: Sequence[Mapping[str, Any]], total: int) -> Iterator[str]:
    """Yield a line for each reason that instruments were refused for."""
    reasons = Counter(str(refusal["text"]) for refusal in refused)
    for text, number in reasons.most_common():
        shown = [str(r["instrument"]) for r in refused if str(r["text"]) == text][:_REFUSALS_SHOWN]
        more = ", ..." if number > len(shown) else ""
        yield f"refused, {text}: {', '.join(shown)}{more}"
    if total > len(refused):
        yield f"{total} were refused in all"


def _warned(number: int) -> Text:
    return Text(count(number), style="yellow" if number else "")


class _Narrow:
    """A table of those columns for which a terminal is wide enough: (name, least width)."""

    def __init__(self, width: int, *columns: tuple[str, int]) -> None:
        self._shown = [least <= width for _, least in columns]
        self.table = plain_table(
            *itertools.compress((name for name, _ in columns), self._shown), gap=1
        )

    def add(self, *cells: str | Text) -> None:
        """Add a row of all columns, or of the first ones."""
        self.table.add_row(*itertools.compress(cells, self._shown))
