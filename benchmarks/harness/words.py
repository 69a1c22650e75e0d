"""How figures are written for people: few digits, units last."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """Return three significant digits, thousands separated."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    digits = 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:.{digits}f}"


def times(value: float) -> str:
    """Return a ratio: 3.1x, 870x; infinite where the other one reached nothing."""
    if math.isinf(value):
        return "∞"
    return f"{number(value)}x"
