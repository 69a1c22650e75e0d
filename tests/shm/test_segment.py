"""Segments: headers, refusals, and the two-copy cells and rings on top of them."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from ext.rings import FrameRingReader, FrameRingWriter
from pipeline.core import layout
from pipeline.core.enums import FrameKind, Reason, Role, SegmentKind, State
from pipeline.core.errors import CapacityError, LayoutMismatch, SegmentError, ShmFull
from pipeline.shm import specs
from pipeline.shm.pages import AccountPage, StatusPage
from pipeline.shm.segment import Segment, SegmentSpec
from pipeline.shm.tables import AssignmentTable, assignment_rows

INSTANCE_ID = bytes(range(16))


def make(tmp_path: Path, spec: SegmentSpec) -> Segment:
    return Segment.create(tmp_path / "segment", spec, instance_id=INSTANCE_ID)


def test_a_created_segment_has_the_size_and_header_of_its_spec(tmp_path: Path) -> None:
    spec = specs.ticks(7, capacity=1024)
    segment = make(tmp_path, spec)
    assert segment.path.stat().st_size == spec.file_bytes
    assert segment.path.stat().st_mode & 0o777 == 0o600
    attached = Segment.attach(segment.path, SegmentKind.TICKS)
    assert attached.instance_id == INSTANCE_ID
    assert attached.capacity == 1024
    assert attached.header["number"] == 7
    assert attached.header["fingerprint"] == layout.fingerprint
    with pytest.raises(ValueError, match="read-only"):
        attached.header["number"] = 1


def test_the_writer_s_lease_names_the_process(tmp_path: Path) -> None:
    segment = make(tmp_path, specs.bell())
    segment.claim(Role.DECODER)
    assert segment.header["writer_pid"] == os.getpid()
    assert segment.header["writer_start_time"] > 0


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("magic", 0, SegmentError),
        ("fingerprint", 1, LayoutMismatch),
        ("segment_bytes", 5, SegmentError),
    ],
)
def test_a_foreign_header_is_refused_before_data_are_read(
    tmp_path: Path, field: str, value: int, error: type[Exception]
) -> None:
    segment = make(tmp_path, specs.bell())
    segment.header[field] = value
    with pytest.raises(error):
        Segment.attach(segment.path, SegmentKind.BELL)


def test_another_kind_and_a_short_file_are_refused(tmp_path: Path) -> None:
    segment = make(tmp_path, specs.bell())
    with pytest.raises(SegmentError, match="kind BELL, expected TICKS"):
        Segment.attach(segment.path, SegmentKind.TICKS)
    segment.header["kind"] = 4711
    with pytest.raises(SegmentError, match="kind 4711, unknown, expected BELL"):
        Segment.attach(segment.path, SegmentKind.BELL)
    short = tmp_path / "short"
    short.write_bytes(b"x")
    with pytest.raises(SegmentError, match="too short"):
        Segment.attach(short, SegmentKind.BELL)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    segment = make(tmp_path, specs.bell())
    (tmp_path / "link").symlink_to(segment.path)
    with pytest.raises(SegmentError, match="symbolic link"):
        Segment.attach(tmp_path / "link", SegmentKind.BELL)


def test_what_is_no_file_is_no_segment(tmp_path: Path) -> None:
    (tmp_path / "stray").write_text("of somebody who took this for a place to keep things")
    with pytest.raises(FileNotFoundError):
        Segment.attach(tmp_path / "stray" / "instance", SegmentKind.INSTANCE)
    with pytest.raises(SegmentError, match="too short"):
        Segment.attach(tmp_path, SegmentKind.INSTANCE)


def test_a_full_file_system_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(ShmFull, match="lower \\[rings\\] seconds"):
        make(tmp_path, specs.ticks(0, capacity=1024))
    assert not list(tmp_path.iterdir())


def test_mapping_keeps_no_descriptor(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    segments = [
        Segment.create(tmp_path / str(n), specs.bell(), instance_id=INSTANCE_ID) for n in range(8)
    ]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(segments) == 8


def test_an_array_keeps_the_memory_of_a_dropped_segment_alive(tmp_path: Path) -> None:
    word = make(tmp_path, specs.bell()).record("BellC")
    gc.collect()
    word["word"] = 7
    assert word["word"] == 7


def test_an_assignment_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = AssignmentTable(make(tmp_path, specs.assignment(0, capacity=4)))
    assert table.version == 0
    assert len(table.read()[1]) == 0
    rows = assignment_rows(np.array([408065, 256265]), np.array([3, 1]), first_slot=10)
    table.write(rows)
    version, found = AssignmentTable(
        Segment.attach(table.segment.path, SegmentKind.ASSIGNMENT)
    ).read()
    assert version == 1
    assert found["slot"].tolist() == [10, 11]
    assert found["instrument_token"].tolist() == [408065, 256265]
    with pytest.raises(CapacityError, match="holds 4 instruments, got 5"):
        table.write(assignment_rows(np.arange(5), np.ones(5), first_slot=0))


def test_a_ring_hands_out_messages_and_states_in_order(tmp_path: Path) -> None:
    segment = make(tmp_path, specs.frames(0, capacity=8, area_bytes=1024))
    writer = FrameRingWriter(segment.mapping)
    reader = FrameRingReader(segment.mapping)
    assert writer.append(b"abc", connection_epoch=1, receive_ts_ns=5, receive_mono_ns=6)
    writer.append_state(
        State.STALLED, Reason.STALL, detail=9, connection_epoch=1, ts_ns=7, mono_ns=8
    )
    assert not writer.append(bytes(257), connection_epoch=1, receive_ts_ns=0, receive_mono_ns=0)
    first, second = reader.poll(), reader.poll()
    assert first is not None and second is not None
    assert (first["payload"], first["receive_ts_ns"], first["kind"]) == (
        b"abc",
        5,
        FrameKind.MESSAGE,
    )
    assert (second["state"], second["detail"], second["kind"]) == (
        State.STALLED,
        9,
        FrameKind.STATE,
    )
    assert reader.poll() is None
    assert FrameRingWriter(segment.mapping).last_epoch() == 1


def test_a_lapped_reader_knows_exactly_how_many_it_lost(tmp_path: Path) -> None:
    segment = make(tmp_path, specs.frames(0, capacity=8, area_bytes=1024))
    writer = FrameRingWriter(segment.mapping)
    reader = FrameRingReader(segment.mapping)
    for number in range(100):
        writer.append(bytes([number]) * 8, connection_epoch=1, receive_ts_ns=0, receive_mono_ns=0)
    seen = []
    while message := reader.poll():
        seen.append(message["payload"][0])
    assert seen == list(range(100 - len(seen), 100))
    assert reader.lost + len(seen) == 100


def test_a_page_goes_on_over_processes(tmp_path: Path) -> None:
    page = StatusPage(make(tmp_path, specs.feed_status(3)))
    page.begin(Role.FEED, 3)
    page.record["stalls"] += 2
    page.set_state(State.LIVE, Reason.FIRST_DATA)
    again = StatusPage(Segment.attach(page.segment.path, SegmentKind.FEED_STATUS, writable=True))
    again.begin(Role.FEED, 3)
    assert int(again.record["stalls"]) == 2
    assert int(again.head["generation"]) == 2
    assert int(again.head["state"]) == State.LIVE


def test_handshakes_of_one_key_stand_apart(tmp_path: Path) -> None:
    page = AccountPage(make(tmp_path, specs.account(0)))
    assert page.reserve_handshake(1_000, 500) == 0
    assert page.reserve_handshake(1_100, 500) == 400
    assert page.reserve_handshake(1_500, 500) == 0
    page.defer_handshakes(9_000)
    page.defer_handshakes(3_000)
    assert page.reserve_handshake(2_500, 500) == 6_500
    assert page.handshakes == 2
