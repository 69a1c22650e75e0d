"""Sweep the pages of readers that are dead. Floor 5.

A reader makes its page `readers/<name>.<pid>` and removes it when it lets go; one that was killed
leaves it behind.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.enums import SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.shm.identity import start_time
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment


class ReaderSweep:
    """Looks at the pages now and then; a page's owner is read from it only once."""

    def __init__(self, paths: InstancePaths) -> None:
        self._directory = paths.readers
        self._owners: dict[str, int] = {}  # page: its owner's start time

    def turn(self) -> list[str]:
        """Unlink the pages whose owner is dead; return their names."""
        names = sorted(path.name for path in self._directory.glob("*"))
        dead = [name for name in names if not self._has_owner(name)]
        for name in dead:
            (self._directory / name).unlink(missing_ok=True)
        self._owners = {name: self._owners[name] for name in names if name in self._owners}
        return dead

    def _has_owner(self, name: str) -> bool:
        suffix = name.rpartition(".")[2]
        alive_since = start_time(int(suffix)) if suffix.isdecimal() else 0
        if alive_since == 0:
            return False
        started = self._owners.get(name, 0) or _owner_start_time(self._directory / name)
        if started == 0:
            return True  # being made just now, by a process that lives, or gone by itself
        self._owners[name] = started
        return started == alive_since


def _owner_start_time(path: Path) -> int:
    """Return what a page says of its owner, 0 when it does not say it (yet)."""
    try:
        return int(StatusPage(Segment.attach(path, SegmentKind.READER)).head["start_time"])
    except (FileNotFoundError, SegmentError, LayoutMismatch):
        return 0
