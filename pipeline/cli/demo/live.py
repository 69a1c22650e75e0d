"""The table that is shown while the demo runs. Floor 6; fits a terminal of 80 by 24."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.cli.demo.options import DemoOptions
from pipeline.cli.demo.readings import Reading

_STYLES = {
    "LIVE": "green",
    "QUIET": "yellow",
    "SUBSCRIBING": "cyan",
    "CONNECTING": "cyan",
    "STALLED": "red",
    "RECONNECTING": "red",
}


class LiveView:
    """Shows a reading at a time; silent when the output is not a terminal, or JSON is wanted."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._console = Console(stderr=True)
        self._first: Reading | None = None
        self._before: Reading | None = None
        self._live: Live | None = None
        if self._console.is_terminal and not options.as_json:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show one line before there is anything to show in the table."""
        if self._live is not None:
            self._live.update(Text(text), refresh=True)

    def tell(self, text: str) -> None:
        """Write a line that stays, above the table if there is one."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def show(self, reading: Reading, elapsed_s: float, news: list[str]) -> None:
        """Show a reading, with rates against the one before."""
        self._first = self._first or reading
        if self._live is not None:
            self._live.update(self._render(reading, elapsed_s, news), refresh=True)
        self._before = reading

    def _render(self, reading: Reading, elapsed_s: float, news: list[str]) -> RenderableType:
        seconds = self._options.seconds
        head = Text(f"{elapsed_s:4.0f} of {seconds:g} s   ", style="bold")
        head.append(f"{self._rate(reading):,.0f} ticks/s delivered to the fast strategy")
        lines = [Text(f"  ! {line}", style="yellow") for line in news]
        return Group(head, self._connections(reading), self._readers(reading), *lines)

    def _rate(self, reading: Reading) -> float:
        if self._before is None or reading.mono_s <= self._before.mono_s:
            return 0.0
        ticks = reading.delivered - self._before.delivered
        return ticks / (reading.mono_s - self._before.mono_s)

    def _connections(self, reading: Reading) -> Table:
        table = _table("connection", "state", "since", "wire", "frames", "ticks", "reconnects")
        for c in reading.status.connections:
            table.add_row(
                str(c.number),
                Text(c.state, style=_STYLES.get(c.state, "")),
                f"{c.since_s:.0f} s",
                f"{c.instruments.wire:,}",
                f"{c.decode_counters['frames_in']:,}",
                f"{c.decode_counters['ticks_out']:,}",
                str(c.feed_counters["reconnects"]),
            )
        return table

    def _readers(self, reading: Reading) -> Table:
        table = _table("strategy", "ticks", "lag", "lost, told", "p50", "p99", "p99.9")
        for name, reader in reading.readers.items():
            latency = reading.latency(name, since=self._first)
            table.add_row(
                name,
                f"{reader.delivered:,}",
                f"{reader.lag:,}",
                f"{reader.lost:,}",
                *map(duration, (latency.p50_ns, latency.p99_ns, latency.p999_ns)),
            )
        return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < 2 and name != "ticks" else "right")
    return table


def duration(ns: int) -> str:
    """Return nanoseconds in the unit that a person would use."""
    if ns < 1_000:
        return f"{ns} ns"
    if ns < 1_000_000:
        return f"{ns / 1e3:.0f} us"
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.1f} ms"
    return f"{ns / 1e9:.2f} s"
