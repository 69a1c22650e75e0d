"""Which sources the compiled modules were made of, so that older modules can be told. Floor 0.

Standard library alone: `setup.py` loads this file before anything is compiled, and puts the number
into `ext.layout`; a checkout compares it with its sources at each start, which takes a millisecond.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_SUFFIXES = (".pyx", ".pxd", ".h")


def digest(folder: Path) -> int | None:
    """Return a number made of all sources in `ext`; None where there are none, as in a wheel."""
    if not (folder / "layout.pyx").exists():
        return None
    found = hashlib.sha256()
    for name in sorted(_names(folder)):
        found.update(f"{name}\0".encode())
        with (folder / name).open("rb") as file:
            found.update(file.read())
    return int.from_bytes(found.digest()[:8], "little")


def _names(folder: Path) -> list[str]:
    found = []
    for path, _, names in os.walk(folder):
        inside = os.path.relpath(path, folder)
        found += [os.path.join(inside, name) for name in names if name.endswith(_SUFFIXES)]  # noqa: PTH118
    return found
