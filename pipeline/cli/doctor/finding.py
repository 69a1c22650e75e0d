"""What a check finds. Floor 6."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import NamedTuple


class Level(Enum):
    """`bad` keeps the pipeline from working, `warn` will hurt one day."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(NamedTuple):
    """One line of the report; `mend` is a command that can be pasted, or one sentence."""

    level: Level
    subject: str
    text: str
    mend: str = ""


class Machine(NamedTuple):
    """Where the checks look; tests give a tree of their own instead of the real one."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """Return a small file's text without its newline; None when it cannot be read."""
        try:
            return (self.root / path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def exists(self, path: str) -> bool:
        """Return whether there is such a path."""
        return (self.root / path).exists()


def as_root(command: str) -> str:
    """Return a command as this user must type it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def install(apt: str, dnf: str) -> str:
    """Return how this system installs a package."""
    if Path("/usr/bin/dnf").exists():
        return as_root(f"dnf install -y {dnf}")
    return as_root(f"apt-get install -y {apt}")


def mebibytes(count: float) -> str:
    """Return bytes as a person reads them."""
    return f"{count / 2**20:.1f} MiB"
