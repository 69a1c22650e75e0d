"""The one look of all tables that commands print. Floor 6."""

from __future__ import annotations

from rich.table import Table


def plain_table(*columns: str, gap: int = 2) -> Table:
    """Return a table without lines; a column whose name begins with < is flush left."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for column in columns:
        left = column.startswith("<")
        table.add_column(column.lstrip("<"), justify="left" if left else "right", no_wrap=True)
    return table
