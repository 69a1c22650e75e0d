"""Sweep the pages of readers that are dead. Floor 5.

A reader makes its page `readers/<name>.<pid>` and removes it when it lets go; one that was killed
leaves it behind.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.enums import SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.shm.identity import is_alive, start_time
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment


def sweep(paths: InstancePaths) -> list[str]:
    """Unlink the pages whose owner is dead; return their names."""
    dead = [path for path in sorted(paths.readers.glob("*")) if not _has_owner(path)]
    for path in dead:
        path.unlink(missing_ok=True)
    return [path.name for path in dead]


def _has_owner(path: Path) -> bool:
    suffix = path.name.rpartition(".")[2]
    pid = int(suffix) if suffix.isdecimal() else 0
    if start_time(pid) == 0:
        return False
    try:
        head = StatusPage(Segment.attach(path, SegmentKind.READER)).head
    except FileNotFoundError:
        return True  # gone by itself
    except (SegmentError, LayoutMismatch):
        return True  # being made just now, by a process that lives
    started = int(head["start_time"])
    return started == 0 or is_alive(pid, started)
