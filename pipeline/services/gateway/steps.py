"""Long work of one client in parts, between which others have their turn. Floor 4; pure.

A part is what one client may keep the others waiting for: some milliseconds. Work that is no longer
than one is done at once.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, TypeVar

#: Instruments in a part.
PART: Final = 100

T = TypeVar("T")
#: Work that stops after each part, and what comes of it in the end.
Steps = Generator[None, None, T]


def is_pause(number: int, count: int) -> bool:
    """Whether others have their turn before item `number` of `count`."""
    return count > PART and number % PART == 0
