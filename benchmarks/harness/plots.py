"""A group of figures as a bar chart in SVG: one bar a case, whiskers for the spread, limits.

The scale is logarithmic, because peers are a hundred times away. Colours are the page's CSS
variables, so that the same drawing serves light and dark.
"""

from __future__ import annotations

import math
from html import escape
from typing import Final

from benchmarks.harness.figure import OURS, Figure
from benchmarks.harness.words import number

_LABEL: Final = 220
_PLOT: Final = 480
_VALUE: Final = 130
_ROW: Final = 30
_TOP: Final = 22
_AXIS: Final = 26
WIDTH: Final = _LABEL + _PLOT + _VALUE


class _Scale:
    """Positions on the logarithmic axis, whole decades."""

    def __init__(self, values: list[float]) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(positive)) - 0.05)
        self.high = max(self.low + 1, math.ceil(math.log10(max(positive)) + 0.02))

    def at(self, value: float) -> float:
        """Return the horizontal position of a value."""
        if value <= 0:
            return float(_LABEL)
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return _LABEL + _PLOT * min(1.0, max(0.0, share))

    def decades(self) -> list[float]:
        """Return the values with a line of their own."""
        step = 1 if self.high - self.low <= 7 else 2
        return [10.0**power for power in range(self.low, self.high + 1, step)]


def chart(figures: list[Figure]) -> str:
    """Return the figures of one group as one `<svg>`; best is the bar, the median a dot."""
    limits = _limits(figures)
    values = [value for one in figures for value in (one.best, one.median, one.worst)]
    scale = _Scale(values + [value for _, value in limits])
    height = _TOP + _ROW * len(figures) + _AXIS
    parts = [_grid(scale, height), *(_limit(scale, *limit, height) for limit in limits)]
    parts += [_bar(scale, figure, row) for row, figure in enumerate(figures)]
    title = escape(f"{figures[0].group}, {figures[0].unit}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg>"
    )


def _limits(figures: list[Figure]) -> list[tuple[str, float]]:
    goals = [figure.goal for figure in figures if figure.goal is not None]
    return [
        (name, value)
        for goal in goals
        for name, value in (("floor", goal.floor), ("must", goal.must), ("aim", goal.aim))
        if value is not None
    ]


def _grid(scale: _Scale, height: int) -> str:
    parts = []
    for value in scale.decades():
        at = scale.at(value)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{height - _AXIS}"/>'
        )
        label = f"{value:,.0f}" if value >= 1 else f"{value:g}"
        parts.append(f'<text class="tick" x="{at:.1f}" y="{height - 8}">{label}</text>')
    return "".join(parts)


def _limit(scale: _Scale, name: str, value: float, height: int) -> str:
    at = scale.at(value)
    return (
        f'<line class="{name}" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 6}" y2="{height - _AXIS}"/>'
        f'<text class="limit of-{name}" x="{at:.1f}" y="{_TOP - 9}">{name}</text>'
    )


def _bar(scale: _Scale, figure: Figure, row: int) -> str:
    top = _TOP + row * _ROW + 6
    middle = top + (_ROW - 12) / 2
    end = scale.at(figure.best)
    kind = "ours" if figure.case == OURS else "peer"
    low, high = sorted((scale.at(figure.best), scale.at(figure.worst)))
    label = figure.case if len(figure.case) <= 32 else figure.case[:31] + "…"
    return (
        f'<text class="case" x="{_LABEL - 10}" y="{middle + 4:.1f}">{escape(label)}</text>'
        f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{max(1.0, end - _LABEL):.1f}" '
        f'height="{_ROW - 12}" rx="2"/>'
        f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
        f'<circle class="median" cx="{scale.at(figure.median):.1f}" cy="{middle:.1f}" r="3.5"/>'
        f'<text class="value" x="{_LABEL + _PLOT + 10}" y="{middle + 4:.1f}">'
        f"{number(figure.best)} {escape(_short(figure.unit))}</text>"
    )


def _short(unit: str) -> str:
    return unit.partition(",")[0]
