"""The reader's own page: `readers/<name>.<pid>`, where everybody sees how it keeps up. Floor 3.

Written by the reader alone; a reader that is killed leaves it behind, and the supervisor sweeps it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import Reason, Role, State
from pipeline.core.errors import SegmentError
from pipeline.shm import specs
from pipeline.shm.names import INSTANCE_NAME, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment

_SAME_NAME_MAX = 100


def default_name() -> str:
    """Return a reader's name after the script that runs, `strategy` when there is none."""
    stem = Path(sys.argv[0]).stem.lower() if sys.argv and sys.argv[0] else ""
    name = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:24]
    return name if name not in ("", "c", "m") else "strategy"


def make_page(paths: InstancePaths, name: str, instance_id: bytes) -> StatusPage:
    """Make the page of a reader called `name`; a second one of this process gets `<name>-2`.

    Raises SegmentError for a name that is no file name, and when the directory is full.
    """
    if not INSTANCE_NAME.fullmatch(name):
        raise SegmentError(f"reader name {name!r}: expected 1 to 32 of a-z, 0-9 and -")
    path = _free_path(paths, name)
    page = StatusPage(Segment.create(path, specs.reader(), instance_id=instance_id))
    raw = path.name.rpartition(".")[0].encode()[: layout.name_bytes]
    page.record["name"][: len(raw)] = np.frombuffer(raw, np.uint8)
    page.begin(Role.STRATEGY)
    page.set_state(State.LIVE, Reason.STARTED)
    return page


def _free_path(paths: InstancePaths, name: str) -> Path:
    for number in range(1, _SAME_NAME_MAX + 1):
        path = paths.reader(name if number == 1 else f"{name}-{number}", os.getpid())
        if not path.exists():
            return path
    raise SegmentError(f"this process has {_SAME_NAME_MAX} readers called {name!r}: close some")
