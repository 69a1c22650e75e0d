"""The writing process of bench_ring.py: fills a ring that its reader has made.

python -m benchmarks.ring_writer FOLDER BYTES COUNT WINDOW
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from ext.bench import pump
from ext.rings import FrameRingWriter
from pipeline.core.enums import SegmentKind
from pipeline.shm.segment import Segment


def messages(size: int, count: int = 256) -> list[bytes]:
    """Return different messages of one size."""
    draw = random.Random(1)
    return [draw.randbytes(size) for _ in range(count)]


def main() -> None:
    """Write COUNT messages, then end."""
    folder, size, count, window = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    ring = Segment.attach(folder / "ring", SegmentKind.FRAMES, writable=True)
    cursor = Segment.attach(folder / "cursor", SegmentKind.BELL, writable=True)
    pump(
        FrameRingWriter(ring.mapping), cursor.mapping, messages(size), count=count, window=window
    )  # fmt: skip


if __name__ == "__main__":
    main()
