"""Decoding by units: positions, the destination ring, tokens, earlier ticks, counters."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ext.decode import DecodeStatus, KiteDecoder, decode_frame_kite
from pipeline.brokers.kite import wire
from pipeline.brokers.tick_flags import TickBase
from pipeline.core.enums import Mode, TickFlag
from pipeline.core.layout import dtypes, unit_records
from tests.brokers import kite_frames as make

DONE = DecodeStatus.DECODE_DONE
MORE = DecodeStatus.DECODE_MORE
UNKNOWN = DecodeStatus.DECODE_UNKNOWN_TOKEN
GRACE_NS = 2 * 10**9
DAY_S = 86_400
YEAR_2000_S = 946_684_800
DROPS = ("packets_unknown_size", "packets_unassigned", "packets_unsubscribed")


def assignment(tokens: Sequence[int], *, first_slot: int = 0, mode: Mode = Mode.FULL) -> Any:
    rows = np.zeros(len(tokens), dtypes["AssignmentC"])
    rows["instrument_token"] = tokens
    rows["slot"] = np.arange(first_slot, first_slot + len(tokens))
    rows["mode"] = mode
    return rows


def decode_all(
    decoder: KiteDecoder, frame: bytes, **options: Any
) -> tuple[DecodeStatus, Any, list[int]]:
    """Run units to the frame's end; return the last status, all ticks, and the units' sizes."""
    status, ticks, _ = decoder.decode_unit(frame, **options)
    parts = [ticks]
    while status == MORE:
        index, offset = decoder.position
        status, ticks, _ = decoder.decode_unit(
            frame, packet_index=index, packet_offset=offset, **options
        )
        parts.append(ticks)
    return status, np.concatenate(parts), [len(part) for part in parts]


class TestBuffers:
    @pytest.mark.parametrize(
        "wrap",
        [
            bytes,
            bytearray,
            memoryview,
            lambda b: array.array("b", b),
            lambda b: np.frombuffer(b, "u1"),
        ],
    )
    def test_any_contiguous_buffer_is_read(self, wrap: Any) -> None:
        frame = make.frame(make.full(), make.ltp())
        assert decode_frame_kite(wrap(frame)).tobytes() == decode_frame_kite(frame).tobytes()

    def test_strided_buffer_is_refused(self) -> None:
        with pytest.raises((BufferError, ValueError)):
            decode_frame_kite(memoryview(make.frame(make.full()))[::2])

    def test_text_is_refused(self) -> None:
        with pytest.raises(TypeError):
            decode_frame_kite("frame")  # type: ignore[arg-type]

    def test_result_owns_its_memory(self) -> None:
        frame = bytearray(make.frame(make.ltp(last=5), b"?", make.ltp(last=6)))
        ticks = decode_frame_kite(frame)
        frame[:] = bytes(len(frame))  # also: no export is left that would lock the size
        frame.clear()
        assert ticks["last_price"].tolist() == [0.05, 0.06]
        assert ticks.flags.owndata
        assert ticks.flags.writeable

    def test_padding_is_zero(self) -> None:
        ticks = decode_frame_kite(make.frame(make.full(), make.ltp(), make.index(), make.quote()))
        raw = np.frombuffer(ticks.tobytes(), "u1").reshape(len(ticks), -1)
        assert not raw[:, 314:].any()


class TestUnits:
    @pytest.mark.parametrize("count", [255, 256, 257, 512, 1000])
    def test_units_hold_at_most_256_packets(self, count: int) -> None:
        frame = make.frame(*(make.ltp(last=i) for i in range(count)))
        status, ticks, sizes = decode_all(KiteDecoder(capacity=2048), frame)
        assert status == DONE
        assert ticks["packet_index"].tolist() == list(range(count))
        assert max(sizes) <= unit_records
        assert len(sizes) == -(-count // unit_records)

    def test_skipped_packets_fill_a_unit_too(self) -> None:
        frame = make.frame(*[b"?"] * 300, make.ltp())
        status, ticks, sizes = decode_all(KiteDecoder(), frame)
        assert (status, len(ticks), sizes) == (DONE, 1, [0, 1])

    def test_any_position_can_be_taken_up_again(self) -> None:
        bodies = [make.ltp(last=1), make.full(), b"odd", make.index(), make.quote()]
        frame = make.frame(*bodies)
        whole = decode_frame_kite(frame)
        offset = 2
        for index, body in enumerate(bodies):
            _, ticks, _ = KiteDecoder().decode_unit(frame, packet_index=index, packet_offset=offset)
            expected = whole[whole["packet_index"] >= index]
            assert ticks["packet_index"].tolist() == expected["packet_index"].tolist()
            assert ticks["last_price"].tolist() == expected["last_price"].tolist()
            offset += 2 + len(body)

    @pytest.mark.parametrize("offset", [0, 1, 23, 2**31, 2**32 - 1])
    def test_impossible_position_ends_the_frame(self, offset: int) -> None:
        frame = make.frame(make.ltp(), make.ltp())
        status, ticks, _ = KiteDecoder().decode_unit(frame, packet_index=1, packet_offset=offset)
        assert status == DecodeStatus.DECODE_SHORT
        assert len(ticks) == 0

    def test_position_behind_the_end_is_a_finished_frame(self) -> None:
        decoder = KiteDecoder()
        frame = make.frame(make.ltp(), tail=b"x")
        assert decoder.decode_unit(frame)[0] == DecodeStatus.DECODE_TRAILING
        index, offset = decoder.position
        before = decoder.counters
        assert decoder.decode_unit(frame, packet_index=index, packet_offset=offset)[0] == DONE
        assert decoder.counters == before

    @pytest.mark.parametrize("capacity", [1, 3, 7, 256, 300])
    def test_records_wrap_in_the_ring(self, capacity: int) -> None:
        decoder = KiteDecoder(capacity=capacity)
        frame = make.frame(*(make.ltp(last=i) for i in range(1, 11)))
        seen = []
        for _ in range(40):
            status, ticks, sizes = decode_all(decoder, frame)
            assert status == DONE
            assert max(sizes) <= capacity
            seen += ticks["sequence"].tolist()
        assert seen == list(range(400))
        last = decoder.records[np.arange(400 - min(capacity, 400), 400) % capacity]
        assert last["sequence"].tolist() == list(range(400 - len(last), 400))

    def test_capacity_zero_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            KiteDecoder(capacity=0)


class TestTokens:
    def test_assigned_tokens_come_with_their_slots(self) -> None:
        decoder = KiteDecoder(slot_count=10)
        assert decoder.assign(assignment([make.INFY, make.NIFTY_50], first_slot=4)) == (2, 0, 0)
        frame = make.frame(make.index(), make.full(), make.index())
        status, ticks, slots = decoder.decode_unit(frame)
        assert status == DONE
        assert slots.tolist() == [5, 4, 5]
        assert ticks["instrument_token"].tolist() == [make.NIFTY_50, make.INFY, make.NIFTY_50]

    def test_unknown_token_is_asked_about_before_it_is_consumed(self) -> None:
        decoder = KiteDecoder(slot_count=10)
        decoder.assign(assignment([make.INFY]))
        frame = make.frame(make.full(), make.index(), make.full())
        status, ticks, _ = decoder.decode_unit(frame)
        assert (status, len(ticks), decoder.position) == (UNKNOWN, 1, (1, 188))
        assert decoder.counters["packets_in"] == 1
        decoder.assign(assignment([make.INFY, make.NIFTY_50]))
        status, ticks, slots = decoder.decode_unit(frame, packet_index=1, packet_offset=188)
        assert (status, slots.tolist()) == (DONE, [1, 0])
        assert decoder.counters["packets_unassigned"] == 0

    def test_unknown_token_is_dropped_and_counted_once_the_assignment_is_current(self) -> None:
        decoder = KiteDecoder(slot_count=10)
        decoder.assign(assignment([make.INFY]))
        frame = make.frame(make.ltp(0), make.full(), make.index(), make.ltp())
        status, ticks, _ = decoder.decode_unit(frame, assignment_current=True)
        assert status == DONE
        assert ticks["packet_index"].tolist() == [1, 3]
        counters = decoder.counters
        assert counters["packets_unassigned"] == 2
        assert counters["packets_in"] == counters["ticks_out"] + 2 == 4

    @pytest.mark.parametrize(
        ("after_ns", "silent"), [(0, True), (GRACE_NS, True), (GRACE_NS + 1, False)]
    )
    def test_unsubscribed_token_is_silent_for_the_grace(self, after_ns: int, silent: bool) -> None:
        decoder = KiteDecoder(slot_count=10)
        decoder.assign(assignment([make.INFY]), now_mono_ns=0)
        assert decoder.assign(assignment([]), now_mono_ns=100, grace_ns=GRACE_NS) == (0, 1, 0)
        _, ticks, _ = decoder.decode_unit(
            make.frame(make.ltp()), receive_mono_ns=100 + after_ns, assignment_current=True
        )
        assert len(ticks) == 0
        assert decoder.counters["packets_unsubscribed"] == silent
        assert decoder.counters["packets_unassigned"] == (not silent)

    def test_retired_tokens_survive_further_assignments_until_their_deadline(self) -> None:
        decoder = KiteDecoder(slot_count=10)
        decoder.assign(assignment([1, 2]), now_mono_ns=0)
        assert decoder.assign(assignment([2]), now_mono_ns=0, grace_ns=10) == (1, 1, 0)
        assert decoder.assign(assignment([]), now_mono_ns=10, grace_ns=10) == (0, 2, 0)
        assert decoder.assign(assignment([]), now_mono_ns=11, grace_ns=10) == (0, 1, 0)
        assert decoder.assign(assignment([2]), now_mono_ns=12, grace_ns=10) == (1, 0, 0)
        assert decoder.slot_of(2) == 0

    def test_rows_that_cannot_be_used_are_left_out(self) -> None:
        decoder = KiteDecoder(slot_count=2)
        rows = assignment([10, 11, 12])
        rows["mode"][0] = Mode.NONE
        assert decoder.assign(rows) == (1, 0, 1)
        assert [decoder.slot_of(token) for token in (10, 11, 12)] == [None, 1, None]

    def test_no_tokens_at_all(self) -> None:
        decoder = KiteDecoder(slot_count=1)
        assert decoder.decode_unit(make.frame(make.ltp()))[0] == UNKNOWN
        assert decoder.slot_of(make.INFY) is None

    def test_thousands_of_tokens_of_one_segment(self) -> None:
        tokens = [(exchange_token << 8) | 1 for exchange_token in range(9_000)]
        decoder = KiteDecoder(slot_count=9_000)
        assert decoder.assign(assignment(tokens)) == (9_000, 0, 0)
        assert [decoder.slot_of(token) for token in tokens] == list(range(9_000))
        assert decoder.slot_of((9_000 << 8) | 1) is None
        assert decoder.slot_of(2**32 - 1) is None

    def test_assigning_without_slots_is_refused(self) -> None:
        with pytest.raises(ValueError, match="every token"):
            KiteDecoder().assign(assignment([1]))


class TestLimits:
    """What is plainly beyond doubt takes few comparisons: they agree with the rules everywhere."""

    @pytest.mark.parametrize("portable", [False, True])
    @pytest.mark.parametrize("second", ["a first tick", "a later one"])
    @pytest.mark.parametrize(
        "received_s",
        [0, 1, YEAR_2000_S - DAY_S - 1, YEAR_2000_S - DAY_S, YEAR_2000_S, 1_700_000_000,
         2**31 - DAY_S, 2**33],
    )  # fmt: skip
    def test_times(self, received_s: int, second: str, portable: bool) -> None:
        limits = [0, YEAR_2000_S, received_s, received_s + DAY_S, 2**31, 2**32]
        times = sorted({time for limit in limits for time in (limit - 1, limit, limit + 1)})
        for time in [time for time in times if 0 <= time < 2**32]:
            for body in (make.full(time=time), make.full(trade_time=time)):
                bodies = [body] if second == "a first tick" else [make.full(volume=0, time=0), body]
                self._compare(bodies, received_s * 10**9, portable)

    @pytest.mark.parametrize("portable", [False, True])
    @pytest.mark.parametrize("before", [None, -100, 0, 1, 100, 2**31 - 1])
    def test_prices(self, before: int | None, portable: bool) -> None:
        for last in (-(2**31), -121, -100, -1, 0, 1, 79, 80, 81, 100, 119, 120, 121, 2**31 - 1):
            bodies = [make.full(last=last)]
            if before is not None:
                bodies.insert(0, make.full(last=before))
            self._compare(bodies, make.RECEIVE_TS_NS, portable)

    def _compare(self, bodies: list[bytes], receive_ts_ns: int, portable: bool) -> None:
        frame = make.frame(*bodies)
        decoder = KiteDecoder(slot_count=1, portable=portable)
        decoder.assign(assignment([make.INFY]))
        _, ticks, _ = decoder.decode_unit(frame, receive_ts_ns=receive_ts_ns)
        alone = decode_frame_kite(frame, receive_ts_ns=receive_ts_ns, portable=portable)
        bases: dict[int, TickBase] = {}
        twin = wire.decode_frame(frame, receive_ts_ns=receive_ts_ns, bases=bases)
        assert ticks["flags"].tolist() == twin["flags"].tolist()
        twin = wire.decode_frame(frame, receive_ts_ns=receive_ts_ns)
        assert alone["flags"].tolist() == twin["flags"].tolist()


class TestEarlierTicks:
    """Flags that hold a tick against the instrument's previous one, on both decoders."""

    def _flags(self, *bodies: bytes) -> list[TickFlag]:
        decoder = KiteDecoder(slot_count=4)
        decoder.assign(assignment([make.INFY, make.NIFTY_50]))
        bases: dict[int, TickBase] = {}
        flags = []
        for body in bodies:
            frame = make.frame(body)
            _, ticks, _ = decoder.decode_unit(frame, receive_ts_ns=make.RECEIVE_TS_NS)
            twin = wire.decode_frame(frame, receive_ts_ns=make.RECEIVE_TS_NS, bases=bases)
            assert ticks["flags"].tolist() == twin["flags"].tolist()
            flags.append(TickFlag(int(ticks["flags"][0])) & ~TickFlag.TRADABLE)
        return flags

    @pytest.mark.parametrize(
        ("first", "second", "jumps"),
        [(100, 120, False), (100, 121, True), (100, 80, False), (100, 79, True), (0, 100, False),
         (-100, -121, True), (-100, 100, True), (2**31 - 1, -(2**31), True)],
    )  # fmt: skip
    def test_jump(self, first: int, second: int, jumps: bool) -> None:
        _, flags = self._flags(make.ltp(last=first), make.ltp(last=second))
        assert bool(flags & TickFlag.JUMP) is jumps

    def test_volume_down(self) -> None:
        flags = self._flags(make.quote(volume=5), make.quote(volume=5), make.quote(volume=4),
                            make.quote(volume=4))  # fmt: skip
        assert flags == [TickFlag(0), TickFlag(0), TickFlag.VOLUME_DOWN, TickFlag(0)]

    def test_packets_without_volume_or_time_are_no_step_back(self) -> None:
        assert self._flags(make.full(), make.ltp(last=157_370), make.full()) == [TickFlag(0)] * 3

    def test_exchange_time_going_back(self) -> None:
        t = make.EXCHANGE_TIME
        flags = self._flags(make.full(time=t), make.full(time=t - 1), make.full(time=t))
        assert flags == [TickFlag(0), TickFlag.BAD_TIME, TickFlag(0)]

    def test_instruments_are_held_apart(self) -> None:
        first, second = self._flags(make.ltp(last=100), make.ltp(make.NIFTY_50, last=9_000_000))
        assert first == second == TickFlag(0)

    def test_slot_handed_to_another_instrument_starts_anew(self) -> None:
        decoder = KiteDecoder(slot_count=1)
        decoder.assign(assignment([make.INFY]))
        decoder.decode_unit(make.frame(make.ltp(last=100)))
        decoder.assign(assignment([make.MCX_TOKEN]))
        _, ticks, _ = decoder.decode_unit(make.frame(make.ltp(make.MCX_TOKEN, last=10_000)))
        assert ticks["flags"].tolist() == [TickFlag.TRADABLE]


class TestManyFrames:
    def test_counts_only_ticks_and_counters_add_up(self) -> None:
        decoder = KiteDecoder(capacity=300, slot_count=1)
        decoder.assign(assignment([make.INFY]))
        frames = [
            make.frame(make.full(), make.index(), b"??"),
            b"\x00",
            make.frame(make.ltp(), count=2),
        ]
        assert decoder.decode_frames(frames * 5) == 10
        counters = decoder.counters
        assert counters["packets_in"] == counters["ticks_out"] + sum(counters[d] for d in DROPS)
        assert counters["frames_short"] == 5

    def test_only_bytes_are_taken(self) -> None:
        with pytest.raises(TypeError):
            KiteDecoder().decode_frames([bytearray(2)])  # type: ignore[list-item]
