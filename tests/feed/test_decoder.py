"""A decoder's lane: what becomes of every frame, state and gap, and the balance of its counters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import DecoderConfig, load
from pipeline.core.enums import EventKind, Mode, Reason, SegmentKind, State
from pipeline.feed.decoder import Quarantine, open_decoder, quarantine
from pipeline.shm.names import InstancePaths
from tests.feed.lane_rig import TOKENS, LaneRig, frame, ltp_packet, quote_packet

A_SECOND_NS = 1_000_000_000
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
SIM = Path(__file__).resolve().parents[2] / "examples" / "config" / "sim.toml"


@pytest.fixture
def rig(tmp_path: Path) -> LaneRig:
    return LaneRig(tmp_path)


def run(rig: LaneRig) -> None:
    decoder, _ = rig.decoder()
    decoder.run(A_SECOND_NS, until_idle=True)
    assert not decoder.has_work
    rig.check_balance()


def test_packets_become_ticks_in_order_with_their_source(rig: LaneRig) -> None:
    rig.send(frame([quote_packet(TOKENS[0], 10_000, 1), ltp_packet(TOKENS[1], 20_000)]))
    rig.send(frame([quote_packet(TOKENS[0], 10_100, 2)]))
    run(rig)
    ticks = rig.ticks()
    assert ticks["sequence"].tolist() == [1, 2, 3]
    assert ticks["source_sequence"].tolist() == [0, 0, 1]
    assert ticks["packet_index"].tolist() == [0, 1, 0]
    assert ticks["instrument_token"].tolist() == [TOKENS[0], TOKENS[1], TOKENS[0]]
    assert ticks["last_price"].tolist() == [100.0, 200.0, 101.0]
    assert ticks["mode"].tolist() == [Mode.QUOTE, Mode.LTP, Mode.QUOTE]
    assert rig.latest(TOKENS[0])["sequence"] == 3
    assert rig.latest(TOKENS[2])["sequence"] == 0


def test_how_to_wait_reaches_the_decoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr("pipeline.feed.decoder.Decoder", lambda *_, **more: asked.update(more))
    monkeypatch.setattr("pipeline.feed.decoder._map", lambda *_, **__: None)
    config = replace(load(SIM, limits=LIMITS), decoder=DecoderConfig(spin_us=7, nap_us=250))
    open_decoder(config, InstancePaths("i", tmp_path), 0)
    assert (asked["spin_ns"], asked["nap_ns"]) == (7000, 250_000)


def test_a_frame_longer_than_a_unit_is_one_frame(rig: LaneRig) -> None:
    packets = [quote_packet(TOKENS[n % 200], 10_000 + n, n) for n in range(700)]
    rig.send(frame(packets))
    run(rig)
    ticks = rig.ticks()
    assert ticks["packet_index"].tolist() == list(range(700))
    assert set(ticks["source_sequence"].tolist()) == {0}
    assert rig.counters()["units"] == 3
    assert rig.counters()["frames_data"] == 1


def test_heartbeats_and_short_and_unknown_packets_are_counted(rig: LaneRig) -> None:
    rig.send(b"\x00")
    rig.send(b"")
    rig.send(frame([ltp_packet(TOKENS[0], 1), ltp_packet(TOKENS[1], 2)])[:-3])
    rig.send(frame([b"\x00\x05abcde", ltp_packet(TOKENS[2], 3)]))
    run(rig)
    counters = rig.counters()
    assert counters["frames_heartbeat"] == 2
    assert counters["frames_short"] == 1
    assert counters["packets_unknown_size"] == 1
    assert rig.ticks()["instrument_token"].tolist() == [TOKENS[0], TOKENS[2]]


def test_raw_only_decodes_nothing_and_tells_states_and_gaps(rig: LaneRig) -> None:
    rig.state(State.SUBSCRIBING, Reason.CONNECTED)
    rig.send(frame([quote_packet(TOKENS[0], 10_000, 1)]))
    rig.send(b"\x00")
    rig.state(State.RECONNECTING, Reason.RESET)
    rig.state(State.SUBSCRIBING, Reason.CONNECTED, epoch=2)
    rig.send(b"\x00", epoch=2)
    rig.send(frame([quote_packet(TOKENS[0], 10_100, 2)]), epoch=2)
    rig.send(frame([quote_packet(TOKENS[0], 10_100, 2)])[:-3], epoch=2)
    decoder, _ = rig.decoder(raw_only=True)
    decoder.run(A_SECOND_NS, until_idle=True)
    assert not decoder.has_work and len(rig.ticks()) == 0
    assert rig.latest(TOKENS[0])["sequence"] == 0
    kinds = [EventKind(int(event["kind"])) for event in rig.events()]
    assert kinds == [EventKind.STATE, EventKind.STATE, EventKind.STATE, EventKind.GAP]
    counters = rig.counters()
    assert (counters["frames_data"], counters["frames_heartbeat"]) == (3, 2)
    assert counters["packets_in"] == counters["ticks_out"] == 0
    rig.check_balance()
    rig.send(frame([quote_packet(TOKENS[0], 10_200, 3)]), epoch=2)
    run(rig)  # a successor that decodes goes on behind what was not decoded
    assert rig.ticks()["last_price"].tolist() == [102.0]


def test_the_beginning_of_a_bad_frame_is_kept_once_a_minute(rig: LaneRig) -> None:
    good = frame([ltp_packet(TOKENS[0], 1)])
    rig.send(good)
    run(rig)
    page = rig.segment(SegmentKind.DECODER_STATUS).record("DecoderStatusC")
    assert page["bad_frame"]["receive_ts_ns"] == 0
    rig.send(good[:-3])
    rig.send(good + bytes(100))
    run(rig)
    kept = page["bad_frame"]
    assert (kept["source_sequence"], kept["length"], kept["trailing"]) == (1, len(good) - 3, 0)
    assert kept["bytes"].tobytes() == good[:-3].ljust(64, b"\x00")
    rig.now += 60 * 10**9
    rig.send(good + bytes(range(1, 101)))
    run(rig)
    assert (kept["source_sequence"], kept["length"], kept["trailing"]) == (3, len(good) + 100, 1)
    assert kept["bytes"].tobytes() == (good + bytes(range(1, 101)))[:64]


def test_a_tail_that_cannot_be_right_holds_nobody_up(rig: LaneRig) -> None:
    """Not one of the sequences that it claims can be read; they are given up at once."""
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    frames = rig.segment(SegmentKind.FRAMES)
    frames.records("FrameDescriptorC", frames.capacity, 64)["length"][1:] = 2**32 - 1
    frames.record("RingControlC")["tail"] = 2**60
    run(rig)
    assert rig.ticks()["instrument_token"].tolist() == [TOKENS[0]]
    assert rig.counters()["frames_overrun"] == 2**60 - 1


def test_unassigned_tokens_are_dropped_and_counted_and_late_ones_known(rig: LaneRig) -> None:
    decoder, lane = rig.decoder()
    rig.send(frame([ltp_packet(999, 1), ltp_packet(TOKENS[0], 2)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    rig.assign(TOKENS[1:])
    rig.send(frame([ltp_packet(TOKENS[0], 3)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    assert lane.instruments == len(TOKENS) - 1
    rig.assign(TOKENS)
    rig.send(frame([ltp_packet(TOKENS[0], 4)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    rig.check_balance()
    counters = rig.counters()
    assert counters["packets_unassigned"] == 1
    assert counters["packets_unsubscribed"] == 1
    assert rig.ticks()["last_price"].tolist() == [0.02, 0.04]


def test_confirmed_holds_the_first_packet_and_the_last_epoch_and_mode(rig: LaneRig) -> None:
    rig.send(frame([ltp_packet(TOKENS[3], 1)]))
    first = rig.now
    rig.send(frame([ltp_packet(TOKENS[3], 2)]))
    run(rig)
    row = rig.confirmed()[3]
    assert int(row["instrument_token"]) == TOKENS[3]
    assert int(row["first_packet_mono_ns"]) == first
    assert (int(row["mode"]), int(row["connection_epoch"])) == (Mode.LTP, 1)
    rig.send(frame([quote_packet(TOKENS[3], 200, 1)]), epoch=2)
    run(rig)
    row = rig.confirmed()[3]
    assert int(row["first_packet_mono_ns"]) == first
    assert (int(row["mode"]), int(row["connection_epoch"])) == (Mode.QUOTE, 2)


def test_an_interruption_is_one_gap_from_the_last_message_to_the_first_data(rig: LaneRig) -> None:
    rig.state(State.CONNECTING, Reason.HANDSHAKE)
    rig.state(State.SUBSCRIBING, Reason.CONNECTED)
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    start = rig.now
    rig.state(State.STALLED, Reason.STALL)
    rig.state(State.RECONNECTING, Reason.STALL)
    rig.state(State.SUBSCRIBING, Reason.CONNECTED, epoch=2)
    rig.send(b"\x00", epoch=2)
    rig.send(frame([ltp_packet(TOKENS[0], 2)]), epoch=2)
    run(rig)
    (gap,) = [e for e in rig.events() if e["kind"] == EventKind.GAP]
    assert (int(gap["start_ts_ns"]), int(gap["end_ts_ns"])) == (start, rig.now)
    assert int(gap["reason"]) == Reason.STALL
    assert int(gap["tick_sequence"]) == 2  # it precedes the tick that ends it
    states = [int(e["state"]) for e in rig.events() if e["kind"] == EventKind.STATE]
    assert states == [
        State.CONNECTING, State.SUBSCRIBING, State.STALLED, State.RECONNECTING, State.SUBSCRIBING,
    ]  # fmt: skip


def test_a_death_before_the_first_message_is_a_gap_from_the_connection(rig: LaneRig) -> None:
    rig.state(State.SUBSCRIBING, Reason.CONNECTED)
    start = rig.now
    rig.state(State.RECONNECTING, Reason.PROCESS_KILLED)
    rig.send(frame([ltp_packet(TOKENS[0], 2)]), epoch=2)
    run(rig)
    (gap,) = [e for e in rig.events() if e["kind"] == EventKind.GAP]
    assert int(gap["start_ts_ns"]) == start


def test_a_new_epoch_without_a_state_is_a_gap_all_the_same(rig: LaneRig) -> None:
    rig.send(frame([ltp_packet(TOKENS[0], 1)]), epoch=1)
    rig.send(frame([ltp_packet(TOKENS[0], 2)]), epoch=2)
    run(rig)
    (gap,) = [e for e in rig.events() if e["kind"] == EventKind.GAP]
    assert int(gap["reason"]) == Reason.DISCONTINUITY


def of_instruments(rig: LaneRig) -> list[tuple[int, int, int, int]]:
    """Return the gaps of single instruments: token, both ends, and the tick that each precedes."""
    gaps = [e for e in rig.events() if e["kind"] == EventKind.GAP and e["detail"]]
    assert all(int(gap["reason"]) == Reason.MOVED for gap in gaps)
    assert rig.counters()["instrument_gaps_out"] == len(gaps)
    names = ("detail", "start_mono_ns", "end_mono_ns", "tick_sequence")
    return [tuple(int(gap[name]) for name in names) for gap in gaps]  # type: ignore[misc]


def test_what_another_decoder_had_before_has_a_gap_to_its_first_tick(rig: LaneRig) -> None:
    left_ns = rig.now - 700
    rig.assign(TOKENS, owner_epochs=2, left_mono_ns=[0, left_ns, left_ns, *[0] * 197])
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    rig.send(frame([ltp_packet(TOKENS[n], n) for n in (0, 1, 0, 1)]))
    end_ns = rig.now
    rig.send(frame([ltp_packet(TOKENS[1], 3)]), epoch=1)
    run(rig)
    assert of_instruments(rig) == [(TOKENS[1], left_ns, end_ns, 2)]
    rig.assign(TOKENS[:150], owner_epochs=2, left_mono_ns=[0, left_ns, left_ns, *[0] * 147])
    rig.state(State.RECONNECTING, Reason.RESET)
    rig.send(frame([ltp_packet(TOKENS[n], 4) for n in (1, 2)]), epoch=2)
    run(rig)  # a successor, too
    assert of_instruments(rig)[1:] == [(TOKENS[2], left_ns, rig.now, 7)]
    assert rig.counters()["gaps_out"] == 1
    (event, *_) = [e for e in rig.events() if e["detail"] == TOKENS[2]]
    assert int(event["end_ts_ns"]) - int(event["start_ts_ns"]) == rig.now - left_ns


def test_who_comes_back_from_elsewhere_has_another_gap(rig: LaneRig) -> None:
    for epoch in (2, 3):
        left_ns = rig.now - 5
        rig.now += 1000
        rig.assign(TOKENS[:1], owner_epochs=epoch, left_mono_ns=left_ns)
        rig.send(frame([ltp_packet(TOKENS[0], epoch)]))
        run(rig)
        assert of_instruments(rig)[-1][1:3] == (left_ns, rig.now)
    assert len(of_instruments(rig)) == 2


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_gap_that_another_connection_ended_is_not_told_again(
    rig: LaneRig, tmp_path: Path, *, goes_on: bool
) -> None:
    """It was given to another one that did not tick yet, and then did."""
    beside = LaneRig(tmp_path, connection=1, beside=rig)
    decoder, _ = rig.decoder()
    beside.add_lane(decoder)
    left_ns = rig.now - 700
    rig.assign(TOKENS[:1], owner_epochs=2, left_mono_ns=left_ns)
    beside.now = rig.now = rig.now + 1000
    beside.assign(TOKENS[:1], owner_epochs=3, left_mono_ns=left_ns)
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    end_ns = beside.now = rig.now
    decoder.run(A_SECOND_NS, until_idle=True)
    if not goes_on:
        rig.assign([])
    beside.send(frame([ltp_packet(TOKENS[0], 2)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    assert of_instruments(rig) == [(TOKENS[0], left_ns, end_ns, 1)]
    assert len(of_instruments(beside)) == (not goes_on)


def test_a_unit_that_ends_every_gap_there_can_be(rig: LaneRig) -> None:
    """The connection's own and one of each instrument, over and over: no event is overwritten."""
    decoder, _ = rig.decoder()
    for epoch in range(2, 9):
        rig.assign(TOKENS, owner_epochs=epoch, left_mono_ns=rig.now)
        rig.send(frame([quote_packet(token, 100 + epoch, 1) for token in TOKENS]), epoch=epoch)
        decoder.run(A_SECOND_NS, until_idle=True)
        found = rig.events()
        fresh = found[-len(TOKENS) :]
        assert fresh["detail"].tolist() == TOKENS
        assert epoch == 2 or found[-len(TOKENS) - 1]["reason"] == Reason.DISCONTINUITY
    assert rig.counters()["instrument_gaps_out"] == 7 * len(TOKENS)


def test_a_lapped_decoder_announces_exactly_what_it_lost(tmp_path: Path) -> None:
    rig = LaneRig(tmp_path, frame_records=64, frame_bytes=4096)
    decoder, _ = rig.decoder()
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    for number in range(2, 502):
        rig.send(frame([ltp_packet(TOKENS[0], number)]))
    decoder.run(A_SECOND_NS, until_idle=True)
    rig.check_balance()
    (overrun,) = [e for e in rig.events() if e["kind"] == EventKind.OVERRUN]
    assert int(overrun["frames"]) == 501 - len(rig.ticks())
    assert int(overrun["detail"]) == 16 * int(overrun["frames"])
    assert int(overrun["tick_sequence"]) == 2
    prices = np.round(rig.ticks()["last_price"] * 100).astype(int).tolist()
    assert prices == [1, *range(503 - len(prices), 502)]


def test_a_gap_begins_behind_a_frame_that_was_decoded_in_part(tmp_path: Path) -> None:
    """A unit of it is out, then its rest is lost, and the reconnect with it."""
    rig = LaneRig(tmp_path, frame_records=64, frame_bytes=32_768)
    rig.send(frame([ltp_packet(TOKENS[0], 1)]))
    rig.send(frame([ltp_packet(TOKENS[n % 200], 2) for n in range(300)]))
    paused, _ = rig.decoder(gated=False, catch_up_ticks=512, catch_up_interval_ns=10**18)
    paused.run(20_000_000)
    assert len(rig.ticks()) == 257
    rig.state(State.RECONNECTING, Reason.RESET)
    for number in range(200):
        rig.send(frame([ltp_packet(TOKENS[0], number)]), epoch=2)
    run(rig)
    (gap,) = [e for e in rig.events() if e["kind"] == EventKind.GAP]
    (overrun,) = [e for e in rig.events() if e["kind"] == EventKind.OVERRUN]
    received = rig.ticks()["receive_ts_ns"]
    assert int(gap["start_ts_ns"]) == int(overrun["start_ts_ns"]) == int(received[256])
    assert int(gap["end_ts_ns"]) == int(overrun["end_ts_ns"]) == int(received[257])


def test_a_backlog_is_paced_unless_the_source_is_gated(rig: LaneRig) -> None:
    for number in range(3):
        rig.send(frame([quote_packet(TOKENS[n], 10_000 + number, 1) for n in range(200)]))
    decoder, _ = rig.decoder(gated=False, catch_up_ticks=400, catch_up_interval_ns=10**18)
    decoder.run(20_000_000)
    assert len(rig.ticks()) == 200
    assert decoder.has_work
    assert int(rig.segment(SegmentKind.DECODER_STATUS).record("DecoderStatusC")["paced"]) > 0
    gated, _ = rig.decoder(gated=True)
    gated.run(A_SECOND_NS, until_idle=True)
    assert len(rig.ticks()) == 600


def test_a_quarantined_frame_is_skipped_and_announced(rig: LaneRig) -> None:
    for number in range(3):
        rig.send(frame([ltp_packet(TOKENS[0], number)]))
    decoder, lane = rig.decoder()
    lane.skip(1)
    decoder.run(A_SECOND_NS, until_idle=True)
    rig.check_balance()
    assert rig.ticks()["source_sequence"].tolist() == [0, 2]
    (event,) = [e for e in rig.events() if e["kind"] == EventKind.QUARANTINE]
    assert int(event["detail"]) == 1
    assert rig.counters()["frames_quarantined"] == 1


def test_a_frame_that_killed_two_decoders_is_kept_aside(rig: LaneRig, tmp_path: Path) -> None:
    paths = InstancePaths("kept", tmp_path)
    paths.make()
    bad = frame([ltp_packet(TOKENS[0], 7)])
    rig.send(bad)
    decoder, lane = rig.decoder()
    quarantine(paths, {0: lane}, Quarantine(0, 5))  # got past it, or not there yet
    assert list(paths.quarantine.iterdir()) == []
    quarantine(paths, {0: lane}, Quarantine(0, 0))
    decoder.run(A_SECOND_NS, until_idle=True)
    (kept,) = paths.quarantine.iterdir()
    assert (kept.name, kept.read_bytes()) == ("c0-0.frame", bad)
    assert rig.counters()["frames_quarantined"] == 1


def test_a_frame_that_cannot_be_kept_is_skipped_all_the_same(rig: LaneRig, tmp_path: Path) -> None:
    rig.send(frame([ltp_packet(TOKENS[0], 7)]))
    decoder, lane = rig.decoder()
    quarantine(InstancePaths("nowhere", tmp_path), {0: lane}, Quarantine(0, 0))
    decoder.run(A_SECOND_NS, until_idle=True)
    assert rig.counters()["frames_quarantined"] == 1


@pytest.mark.parametrize("start", [2**32 - 40, 2**63 - 40])
def test_sequences_pass_2_to_the_32_and_63(tmp_path: Path, start: int) -> None:
    rig = LaneRig(tmp_path, frame_records=64, frame_bytes=1 << 16, tick_records=512)
    control = rig.segment(SegmentKind.FRAMES).record("RingControlC")
    control["oldest"] = control["tail"] = start
    ticks = rig.segment(SegmentKind.TICKS).record("RingControlC")
    ticks["oldest"] = ticks["tail"] = start
    cell = rig.segment(SegmentKind.TICKS).record("CommitCellC", 64)
    cell["copy"][1]["source_sequence"] = cell["copy"][1]["tick_tail"] = start
    cell["head"]["version"] = 1
    rig.writer = type(rig.writer)(rig.segment(SegmentKind.FRAMES).mapping)
    decoder, _ = rig.decoder()
    for number in range(80):
        rig.send(frame([ltp_packet(TOKENS[0], number + 1)]))
        decoder.run(A_SECOND_NS, until_idle=True)
    assert rig.ticks()["sequence"].tolist() == list(range(start, start + 80))
    assert rig.ticks()["source_sequence"].tolist() == list(range(start, start + 80))


def test_flags_are_the_same_when_a_successor_goes_on(tmp_path: Path) -> None:
    def flags(directory: Path, restart_every: int) -> list[int]:
        directory.mkdir()
        rig = LaneRig(directory)
        decoder, _ = rig.decoder()
        for number in range(20):
            rig.send(frame([quote_packet(TOKENS[0], 10_000 * (1 + number % 3), 100 - number)]))
            if number % restart_every == 0:
                decoder, _ = rig.decoder()
            decoder.run(A_SECOND_NS, until_idle=True)
        return [int(f) for f in rig.ticks()["flags"]]

    assert flags(tmp_path / "once", 100) == flags(tmp_path / "often", 1)
