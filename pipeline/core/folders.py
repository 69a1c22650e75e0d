"""Where files lie that outlive an instance. Floor 1; makes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: The distribution's own name, as `pip` knows it.
_NAME: Final = "tickrail"


def data_directory() -> Path:
    """Return this user's folder for our data (XDG base directory specification)."""
    base = os.environ.get("XDG_DATA_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / _NAME
