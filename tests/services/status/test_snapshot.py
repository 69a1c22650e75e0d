"""What is read of a live and of a dead instance, from its pages alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import InstanceNotFound
from pipeline.services.status import problems, snapshot
from pipeline.services.status.connections import decode_balances, feed_balance
from pipeline.services.status.pages import age_s, counters, text
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from tests.services.status.establish import Established


def test_the_sets_of_instruments_are_counted_apart(established: Established) -> None:
    found = snapshot(established.paths).connections[1].instruments
    assert (found.assigned, found.wire, found.confirmed, found.seen) == (20, 18, 12, 15)


def test_what_was_sent_on_an_earlier_socket_is_not_on_the_wire(established: Established) -> None:
    established.feeds[1].record["connection_epoch"] = 3
    found = snapshot(established.paths).connections[1].instruments
    assert (found.wire, found.confirmed, found.seen) == (0, 0, 15)


def test_everything_is_there_and_fits_json(established: Established) -> None:
    status = snapshot(established.paths)
    assert status.live and status.supervisor_pid == os.getpid()
    assert [c.number for c in status.connections] == [0, 1, 2]
    assert {(c.state, c.account, c.broker) for c in status.connections} == {
        ("LIVE", "exchange", "kite")
    }
    assert [p.name for p in status.processes][-1] == "simulator"
    assert status.processes[0].alive and (status.processes[0].uptime_s or 0) >= 65
    assert status.decoders[0].receive_to_publish.samples == 1
    assert status.shm_bytes > 2**20
    assert json.loads(json.dumps(status.as_dict()))["connections"][0]["since_s"] >= 0
    assert problems(status) == []


def test_the_beginning_of_a_bad_frame_is_shown(established: Established) -> None:
    assert snapshot(established.paths).decoders[0].bad_frame is None
    path = established.paths.segment(SegmentKind.DECODER_STATUS, 0)
    segment = Segment.attach(path, SegmentKind.DECODER_STATUS, writable=True)
    kept = segment.record("DecoderStatusC")["bad_frame"]
    kept["source_sequence"], kept["receive_ts_ns"], kept["length"] = 7, 10**18, 3
    kept["bytes"][:3] = (0, 1, 255)
    found = snapshot(established.paths).decoders[0].bad_frame
    assert found is not None and (found.fault, found.beginning) == ("short", "0001ff")
    assert (found.connection, found.source_sequence, found.frame_bytes) == (0, 7, 3)


def test_readers_and_their_lag(established: Established) -> None:
    root = established.paths.root
    with pipeline.attach("whole", shm_directory=root, name="alpha") as market:
        established.lanes[0].write_ticks(30)
        next(market.batches(timeout_s=10))
        established.lanes[0].write_ticks(12)
        (reader,) = snapshot(established.paths).readers
        assert (reader.name, reader.pid, reader.alive) == ("alpha", os.getpid(), True)
        assert (reader.delivered, reader.lag, reader.lost, reader.policy) == (30, 12, 0, "resume")
        assert reader.latency.samples == 1 and reader.latency.p99_ns > 0
        assert reader.cursors[0].connection == 0
        ring = snapshot(established.paths).connections[0].ticks
        assert (ring.tail, ring.behind) == (43, 12)
    assert snapshot(established.paths).readers == []
    assert snapshot(established.paths).connections[0].ticks.behind == 0


def test_a_page_that_is_being_made_is_passed_over(established: Established) -> None:
    (established.paths.readers / "half.1").write_bytes(b"\0" * 10)
    assert snapshot(established.paths).readers == []


def test_a_dead_instance_is_read_all_the_same(established: Established) -> None:
    established.commit(0, ticks_out=500, frames_in=5)
    established.note_death(3)
    established.crash()
    status = snapshot(established.paths)
    assert not status.live and not status.supervisor_alive
    assert status.connections[0].decode_counters["ticks_out"] == 500
    assert status.processes[3].last_exit_code == -9
    assert status.processes[3].last_exit_reason == "PROCESS_KILLED"
    assert "is dead" in problems(status)[0]


def test_nothing_left_names_what_is_there(established: Established, tmp_path: Path) -> None:
    with pytest.raises(InstanceNotFound, match="whole"):
        snapshot(InstancePaths("other", tmp_path))


def test_a_half_made_instance_is_not_there_yet(tmp_path: Path) -> None:
    made = Established("half", tmp_path)
    made.file.segment.record("CellHeadC")["version"] = 0
    with pytest.raises(InstanceNotFound):
        snapshot(made.paths)
    made.end()


def test_a_feed_s_account() -> None:
    feed = np.zeros((), layout.dtypes["FeedStatusC"])
    feed["messages_in"], feed["frames_out"], feed["orders_out"] = 20, 10, 2
    feed["text_out"], feed["messages_own"], feed["messages_dropped"] = 3, 1, 1
    found = feed_balance(feed)
    assert (found.came_in, found.went_out, found.dropped, found.difference) == (20, 16, 1, 3)


def test_a_decoder_s_accounts() -> None:
    commit = np.zeros((), layout.dtypes["CommitC"])
    found = commit["counters"]
    found["frames_in"], found["frames_data"], found["frames_overrun"] = 10, 7, 3
    found["packets_in"], found["ticks_out"], found["packets_unassigned"] = 50, 40, 9
    commit["tick_tail"] = 41
    frames, packets, ticks = decode_balances(commit)
    assert (frames.difference, frames.dropped) == (0, 3)
    assert (packets.difference, packets.dropped) == (1, 9)
    assert (ticks.difference, ticks.went_out) == (0, 40)


def test_a_decoder_that_never_committed_balances() -> None:
    commit = np.zeros((), layout.dtypes["CommitC"])
    assert [b.difference for b in decode_balances(commit)] == [0, 0, 0]


def test_the_decoder_s_backlog_is_the_ring_s_fill(established: Established) -> None:
    segment = established.attach(SegmentKind.FRAMES, 2)
    segment.record("RingControlC")["tail"] = segment.capacity // 2
    ring = snapshot(established.paths).connections[2].frames
    assert (ring.behind, ring.fill_percent) == (segment.capacity // 2, 50.0)


def test_small_helpers() -> None:
    assert age_s(0, 5) is None
    assert age_s(monotonic_ns() + 10**9, monotonic_ns()) == 0
    assert text(np.frombuffer(b"ab\xff\0\0", np.uint8)) == "ab\ufffd"
    assert counters(np.zeros((), layout.dtypes["DecodeCountersC"]))["frames_in"] == 0
