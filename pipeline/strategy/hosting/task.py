"""What the supervisor tells the process of a hosted strategy, over its standard input. Floor 3.

Not by arguments: whoever may see this machine's processes may read those, and params are the
user's own business.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.strategy.items import Restart

_PIECE_BYTES: Final = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosting:
    """One hosted strategy: where its class is, what it is given, which instance it reads.

    `instruments_file`: the list that names are looked up in, None for the usual one. `owner`:
    whose connections it reads, None for all.
    `restart`: what is known of the process before this one; None for the first.
    """

    instance: str
    shm_directory: str
    number: int
    label: str
    entry: str
    search_path: tuple[str, ...]
    params: Mapping[str, Any]
    slow: str
    instruments_file: Path | None
    owner: str | None
    nap_us: int
    report_after_s: float
    log_level: str
    log_format: str
    restart: Restart | None


def dump(hosting: Hosting) -> bytes:
    """Return the bytes that `take` reads; the two sides are of one build."""
    return pickle.dumps(hosting)


def take(descriptor: int) -> Hosting:
    """Read everything from a descriptor, leave /dev/null in its place, and return what it says."""
    raw = io.BytesIO()
    while piece := os.read(descriptor, _PIECE_BYTES):
        raw.write(piece)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, descriptor)
    os.close(null)
    found = pickle.loads(raw.getbuffer())
    assert isinstance(found, Hosting), "the supervisor says what is to be hosted"
    return found
