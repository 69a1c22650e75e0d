"""Standard streams that are closed from the start, or that take no more. Floor 6.

Of those closed from the start Python has None, and what is opened next gets the descriptor: what a
library writes to stderr would go into a segment.
"""

from __future__ import annotations

import os
import sys
from typing import Final

_NAMES: Final = ("stdin", "stdout", "stderr")


def open_closed() -> None:
    """Open what is closed, onto nothing; before anything else is opened."""
    for descriptor, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, opened == descriptor)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(opened, mode, encoding="utf-8"))


def discard_output() -> None:
    """Let what is left in the buffer of stdout go: it must not raise once more at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
