"""The one look of all tables that commands print. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

#: Heads the columns that a narrow terminal has no room for.
MORE: Final = "…"
_LEFT: Final = "<"
_SPARE: Final = "?"
_ANY_WIDTH: Final = 100_000


class PlainTable(Table):
    """A table without lines, which leaves columns out, the last ones first, where it is too wide.

    A cut name can be guessed, a cut figure lies: only what is spare is left out, whole columns.
    """

    def __init__(self, *columns: str, gap: int) -> None:
        super().__init__(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
        self._names = columns
        self._gap = gap
        for column in columns:
            name = column.removeprefix(_SPARE)
            left = name.startswith(_LEFT)
            self.add_column(
                name.removeprefix(_LEFT), justify="left" if left else "right", no_wrap=True
            )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as many columns as there is room for."""
        yield from Table.__rich_console__(self._fitting(console, options), console, options)

    def _fitting(self, console: Console, options: ConsoleOptions) -> Table:
        shown: PlainTable = self
        for without in self._spare():
            if _width(shown, console, options) <= options.max_width:
                break
            shown = self._without(without)
        return shown

    def _spare(self) -> Iterator[set[int]]:
        """Yield which columns to leave out, ever more of them."""
        left_out: set[int] = set()
        for index in reversed(range(len(self._names))):
            if self._names[index].startswith(_SPARE):
                yield (left_out := left_out | {index})

    def _without(self, left_out: set[int]) -> PlainTable:
        kept = [index for index in range(len(self._names)) if index not in left_out]
        found = PlainTable(*(self._names[index] for index in kept), MORE, gap=self._gap)
        for row in zip(*(self.columns[index].cells for index in kept), strict=True):
            found.add_row(*row)
        return found


def _width(table: Table, console: Console, options: ConsoleOptions) -> int:
    return Measurement.get(console, options.update(max_width=_ANY_WIDTH), table).maximum


def plain_table(*columns: str, gap: int = 2) -> Table:
    """Return a table without lines.

    A column whose name begins with < is flush left; one with a ? there, in front of the <, is left
    out where the terminal is too narrow, the last of them first.
    """
    return PlainTable(*columns, gap=gap)
