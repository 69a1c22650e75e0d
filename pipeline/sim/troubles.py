"""What goes wrong with REST on request: refusals, delays, silence. Floor 4; no I/O."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pipeline.sim.conditions import FOREVER
from pipeline.sim.http import Answer


@dataclass
class Trouble:
    """An answer instead of the right one, or that one later; `left` times or until `until_s`."""

    answer: Answer | None
    delay_s: float = 0.0
    left: int | None = None
    until_s: float = FOREVER
    key: str | None = None
    path: str = ""

    def applies(self, *, key: str, path: str, now_s: float) -> bool:
        """Say whether it hits this call, and count it if so."""
        if self.key not in (None, key) or not path.startswith(self.path) or now_s >= self.until_s:
            return False
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0


class Troubles:
    """All that was asked for."""

    def __init__(self) -> None:
        self._troubles: list[Trouble] = []

    def add(self, trouble: Trouble) -> None:
        """Begin one; without an end of its own it hits one call."""
        if trouble.left is None and trouble.until_s == FOREVER:
            trouble.left = 1
        self._troubles = [t for t in self._troubles if t.left is None or t.left > 0]
        self._troubles.append(trouble)

    def clear(self) -> None:
        """End them all."""
        self._troubles.clear()

    def meet(self, *, key: str, path: str, now_s: float) -> tuple[Answer | None, float]:
        """Return what a call gets instead of its answer, and how late it gets any."""
        met = [t for t in self._troubles if t.applies(key=key, path=path, now_s=now_s)]
        instead = next((trouble.answer for trouble in met if trouble.answer is not None), None)
        return instead, sum(trouble.delay_s for trouble in met)


def later(answer: Answer, delay_s: float) -> Answer:
    """Return the answer with a delay."""
    return dataclasses.replace(answer, delay_s=delay_s) if delay_s else answer
