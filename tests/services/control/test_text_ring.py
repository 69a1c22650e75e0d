"""Following a text ring."""

from __future__ import annotations

from pathlib import Path

from ext.rings import FrameRingWriter
from pipeline.core.enums import SegmentKind
from pipeline.services.control.text_ring import TEXTS_PER_TURN, Text, TextFollower
from pipeline.shm import specs
from pipeline.shm.segment import Segment


def test_it_reads_what_came_and_knows_what_it_missed(tmp_path: Path) -> None:
    spec = specs.text(0, area_bytes=1 << 16)
    segment = Segment.create(tmp_path / "text", spec, instance_id=bytes(16))
    assert segment.header["kind"] == SegmentKind.TEXT
    writer, follower = FrameRingWriter(segment.mapping), TextFollower(segment)
    assert follower.take() == []
    writer.append(b"one", connection_epoch=3, receive_ts_ns=5, receive_mono_ns=6)
    assert follower.take() == [Text(3, 6, b"one")]
    for _ in range(TEXTS_PER_TURN + 1):
        writer.append(b"more", connection_epoch=3, receive_ts_ns=5, receive_mono_ns=6)
    assert len(follower.take()) == TEXTS_PER_TURN and len(follower.take()) == 1
    for _ in range(2000):
        writer.append(bytes(100), connection_epoch=4, receive_ts_ns=7, receive_mono_ns=8)
    first = follower.take()[0]
    assert first.connection_epoch == 4 and follower.lost > 0
