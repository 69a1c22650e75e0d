"""Requests to die at a named crash point, for tests on the checked build. Floor 3.

A file in the instance's directory holds lines `<point> <passage> [signal]`; each process of its
role takes the first one. So several deaths in a row, some of them while a successor takes over,
can be asked for before the first of them happens. In every other build nothing comes of it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path


def arm_requested_crash(request: Path, arm: Callable[[str, int, int], bool]) -> None:
    """Take the next line of `request`, if there is one, and `arm` that crash point."""
    if not request.exists():
        return
    line, _, rest = request.read_text().partition("\n")
    if rest.strip():
        remaining = request.with_suffix(".rest")
        remaining.write_text(rest)
        remaining.replace(request)
    else:
        request.unlink()
    point, *numbers = line.split()
    passage, signal_number = [*map(int, numbers), int(signal.SIGKILL)][:2]
    arm(point, passage, signal_number)
