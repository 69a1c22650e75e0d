"""How often who waits for ticks wakes up by itself; why is said in `ext/bell.h`. Floor 1."""

from __future__ import annotations

from typing import Final

NAP_US: Final = 100
NAP_US_MAX: Final = 5_000
