"""A feed's shared memory, attached again by its successor."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.core import layout
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.feed.segments import FeedSegments
from tests.feed.stage import Stage


def test_the_feed_claims_what_it_writes(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ws://127.0.0.1:9")
    FeedSegments(stage.paths, stage.plan)
    for kind in (SegmentKind.FRAMES, SegmentKind.ORDERS, SegmentKind.TEXT, SegmentKind.WIRE):
        header = stage.attach(kind).header
        assert header["writer_pid"] == os.getpid()
        assert header["writer_role"] == Role.FEED


def test_the_status_buffer_is_the_page(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ws://127.0.0.1:9")
    segments = FeedSegments(stage.paths, stage.plan)
    segments.page.record["stalls"] = 77
    buffer = segments.status_buffer
    assert len(buffer) == layout.dtypes["FeedStatusC"].itemsize
    offset = layout.dtypes["FeedStatusC"].fields["stalls"][1]
    assert int.from_bytes(buffer[offset : offset + 8], "little") == 77


def test_the_last_epoch_is_the_page_s_or_the_ring_s(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ws://127.0.0.1:9")
    segments = FeedSegments(stage.paths, stage.plan)
    assert segments.last_epoch == 0
    segments.page.record["connection_epoch"] = 4
    assert segments.last_epoch == 4
    segments.frames.append_state(
        State.RECONNECTING, Reason.PROCESS_KILLED, connection_epoch=6, ts_ns=1, mono_ns=1
    )
    assert FeedSegments(stage.paths, stage.plan).last_epoch == 6
