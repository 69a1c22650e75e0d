"""Which processes of a test still live, whoever their parent is by now."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


def alive_in(sessions: Collection[int]) -> list[int]:
    """Return the pids of all processes of these sessions that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) in sessions and state != "Z":
            found.append(int(entry.name))
    return found
