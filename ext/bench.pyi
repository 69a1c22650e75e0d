import numpy as np
from numpy.typing import NDArray

from ext.cells import Bell
from ext.mapping import Mapping
from ext.rings import FrameRingReader, FrameRingWriter

def pump(
    writer: FrameRingWriter,
    cursor: Mapping,
    messages: list[bytes],
    *,
    count: int,
    window: int,
    batch: int = 64,
    bell: Bell | None = None,
) -> None: ...
def drain(reader: FrameRingReader, cursor: Mapping, *, count: int) -> int: ...
def receive_bare(
    fd: int,
    late_ns: NDArray[np.int64],
    *,
    frame_bytes: int,
    stamp_at: int = 0,
    skipped: int = 0,
) -> int: ...

class Succession:
    faults: int
    def __init__(self, instruments: int) -> None: ...
    def take(self, ticks: NDArray[np.void]) -> None: ...
