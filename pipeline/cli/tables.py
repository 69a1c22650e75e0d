"""The one look of all tables that commands print. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

#: Heads the columns that a narrow terminal has no room for, and ends a line of which a part is.
MORE: Final = "…"
_LEFT: Final = "<"
_SPARE: Final = "?"
#: Names are cut down to so many characters before a figure has to go.
_NAME_LENGTH: Final = 12


class PlainTable(Table):
    """A table without lines, which leaves columns out where it is too wide.

    A cut name can be guessed, a cut figure lies. What is spare goes first, the last columns of it
    first; then names are cut; then other figures go, the first ones first: the last tell of losses.
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
        yield from Table.__rich_console__(self._fitting(options.max_width), console, options)

    def _fitting(self, room: int) -> Table:
        if self._excess(room) <= 0:
            return self
        for left_out in self._spare():
            shown = self._without(left_out, self._gap)
            if shown._excess(room) <= 0:
                return shown
        for left_out in self._first():
            shown = self._without(left_out, gap=1)
            if shown._excess(room) <= sum(spare for _, spare in shown._cuts()):
                break
        shown._cut_names(room)
        return shown

    def _spare(self) -> Iterator[set[int]]:
        """Yield which columns to leave out, ever more of them."""
        left_out: set[int] = set()
        for index in reversed(range(len(self._names))):
            if self._names[index].startswith(_SPARE):
                yield (left_out := left_out | {index})

    def _first(self) -> Iterator[set[int]]:
        """Yield all that is spare, and with it ever more figures."""
        left_out = {n for n, name in enumerate(self._names) if name.startswith(_SPARE)}
        yield left_out
        for index in range(1, len(self._names)):
            if self.columns[index].justify == "right":
                yield (left_out := left_out | {index})

    def _without(self, left_out: set[int], gap: int) -> PlainTable:
        kept = [index for index in range(len(self._names)) if index not in left_out]
        names = [self._names[index] for index in kept]
        found = PlainTable(*names, *([MORE] if left_out else []), gap=gap)
        for index, column in zip(kept, found.columns, strict=False):
            column.no_wrap = self.columns[index].no_wrap
        for row in zip(*(self.columns[index].cells for index in kept), strict=True):
            found.add_row(*row)
        return found

    def _excess(self, room: int) -> int:
        return sum(map(_width, self.columns)) + self._gap * len(self.columns) - room

    def _cuts(self) -> Iterator[tuple[Column, int]]:
        """Yield each column of names, and how many characters can be cut off."""
        for column in self.columns:
            if column.justify == "left":
                yield column, max(0, _width(column) - _NAME_LENGTH)

    def _cut_names(self, room: int) -> None:
        """Cut as much off as there is too much, of the longest names first."""
        excess = self._excess(room)
        while excess > 0:
            column, most = max(self._cuts(), key=lambda cut: cut[1])
            if most == 0:
                return
            column.width = _width(column) - 1
            excess -= 1


def _width(column: Column) -> int:
    if column.width is not None:
        return column.width
    return max(cell_len(str(text)) for text in (column.header, *column.cells))


def plain_table(*columns: str, gap: int = 2) -> Table:
    """Return a table without lines.

    A column whose name begins with < is flush left; one with a ? there, in front of the <, is left
    out where the terminal is too narrow, the last of them first.
    """
    return PlainTable(*columns, gap=gap)


class PlainLine:
    """One line of parts, of which the last ones are left out where there is no room for them."""

    def __init__(self, *parts: Text, gap: int = 2) -> None:
        self._parts = parts
        self._gap = " " * gap

    @classmethod
    def of_words(cls, text: str, style: str) -> PlainLine:
        """Return a sentence that ends with a whole word, and so with a whole figure."""
        return cls(*(Text(word, style=style) for word in text.split(" ")), gap=1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render as many parts as there is room for; the first one at any rate, cut if need be."""
        room, shown = options.max_width, Text(no_wrap=True, overflow="ellipsis")
        for index, part in enumerate(self._parts):
            more = Text.assemble(self._gap if index else "", part)
            needed = 0 if index + 1 == len(self._parts) else len(self._gap) + len(MORE)
            if index and shown.cell_len + more.cell_len + needed > room:
                shown.append(self._gap + MORE, style="dim")
                break
            shown.append_text(more)
        yield shown
