"""The encoder against the official client's parser, and the output buffer's bookkeeping."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from ext.simulate import (
    KIND_CACHED,
    KIND_FRESH,
    Market,
    Output,
    TruthLog,
    encode_frame,
    truth_dtype,
    websocket_frame,
)
from pipeline.sim.market import SEGMENTS, Listing, instrument_tokens

CLOCK_S = 1_700_000_000
SIZES = {(1, 0): 8, (2, 0): 44, (3, 0): 184, (1, 1): 8, (2, 1): 28, (3, 1): 32}


def make_listing(count: int = 200, seed: int = 7) -> Listing:
    return Listing(count, seed=seed, now_s=CLOCK_S)


def positions_by_segment(listing: Listing) -> dict[int, int]:
    return {int(token) & 0xFF: i for i, token in reversed(list(enumerate(listing.tokens)))}


def parse(frame: bytes) -> list[dict[str, object]]:
    from kiteconnect import KiteTicker

    return list(KiteTicker("key", "token")._parse_binary(frame))


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("segment", sorted(SEGMENTS))
def test_the_official_client_reads_back_what_was_encoded(segment: int, mode: int) -> None:
    listing = make_listing()
    position = positions_by_segment(listing)[segment]
    listing.market.advance(np.full(5000, position, np.uint32), now_s=CLOCK_S + 1)
    body = listing.market.packet(position, mode)
    words = listing.market.words(position).tolist()
    units = float(SEGMENTS[segment].units_per_rupee)
    (tick,) = parse(encode_frame([body]))

    assert len(body) == SIZES[mode, int(segment == 9)]
    assert tick["instrument_token"] == words[0] == int(listing.tokens[position])
    assert tick["tradable"] is (segment != 9)
    assert listing.market.sequence(position) == 5001
    if mode == 1 or segment == 9:
        assert round(tick["last_price"] * units) & 0xFFF == 5001 & 0xFFF
    if mode == 1:
        return
    if segment == 9:
        names = dict(last_price=1, high=2, low=3, open=4, close=5)
    else:
        names = dict(last_price=1, average_traded_price=3, open=7, high=8, low=9, close=10)
        counts = dict(last_traded_quantity=2, total_buy_quantity=5, total_sell_quantity=6)
        assert {name: tick[name] for name in counts} == {n: words[i] for n, i in counts.items()}
        assert tick["volume_traded"] == 5001
    flat = {**tick, **tick["ohlc"]}
    assert {name: flat[name] for name in names} == {n: words[i] / units for n, i in names.items()}
    assert flat["low"] <= flat["last_price"] <= flat["high"]
    if mode == 3:
        assert tick["exchange_timestamp"].timestamp() == CLOCK_S + 1
    if mode == 3 and segment != 9:
        assert [tick[n] for n in ("oi", "oi_day_high", "oi_day_low")] == words[12:15]
        levels = tick["depth"]["buy"] + tick["depth"]["sell"]
        for level, at in zip(levels, range(16, 46, 3), strict=True):
            expected = (words[at], words[at + 1] / units, words[at + 2] >> 16)
            assert (level["quantity"], level["price"], level["orders"]) == expected
        assert tick["depth"]["buy"][0]["price"] < tick["depth"]["sell"][0]["price"]


def test_nothing_in_a_long_walk_doubts_a_tick() -> None:
    listing = make_listing(64)
    everything = np.arange(64, dtype=np.uint32)
    last = {}
    for _ in range(3000):
        listing.market.advance(everything, now_s=CLOCK_S)
        for position in (0, 3, 12, 20, 21, 31):
            price = int.from_bytes(listing.market.packet(position, 1)[4:8], "big")
            before = last.setdefault(position, price)
            assert abs(price - before) < before * 0.1, (position, price, before)
            last[position] = price


def test_the_same_seed_gives_the_same_walk_whoever_asks() -> None:
    one, other, third = make_listing(seed=3), make_listing(seed=3), make_listing(seed=4)
    once = np.array([6, 7, 6, 8], np.uint32)
    one.market.advance(once, now_s=CLOCK_S)
    other.market.advance(once[::-1].copy(), now_s=CLOCK_S)
    third.market.advance(once, now_s=CLOCK_S)
    for position in (6, 7, 8):
        assert one.market.packet(position, 3) == other.market.packet(position, 3)
        assert one.market.packet(position, 3) != third.market.packet(position, 3)


def test_tokens_are_a_stable_list_with_real_ones_in_front() -> None:
    tokens = instrument_tokens(9000, 1)
    assert tokens[:6] == [408065, 884737, 738561, 256265, 260105, 265]
    assert tokens[:500] == instrument_tokens(500, 2)
    assert len(set(tokens)) == 9000
    assert {token & 0xFF for token in tokens[:40]} == set(SEGMENTS)


def filled(listing: Listing, truth: TruthLog | None = None, **options: int) -> Output:
    output = Output(listing.market, truth, **options)
    for position in range(listing.market.count):
        assert output.subscribe(position, 3)
    return output


def test_a_subscription_gets_a_cached_packet_once_and_then_only_what_moved() -> None:
    listing = make_listing(50)
    output = filled(listing)
    assert output.fill_changed(only_new=True) == 50
    assert output.fill_changed() == 0
    listing.market.advance(np.array([3, 4, 4], np.uint32), now_s=CLOCK_S)
    assert output.fill_changed() == 2
    assert output.subscribe(3, 3)  # no change of mode
    assert output.fill_changed(only_new=True) == 0
    assert output.subscribe(3, 1)
    assert output.mode(3) == 1
    assert output.fill_changed(only_new=True) == 1
    assert output.unsubscribe(3) and not output.unsubscribe(3)
    assert output.subscribed == 49 and output.mode(3) == 0
    assert sorted(output.positions().tolist()) == [i for i in range(50) if i != 3]


def test_a_full_connection_refuses_the_next_instrument() -> None:
    listing = make_listing(10)
    output = Output(listing.market, subscriptions_max=9)
    assert [output.subscribe(i, 2) for i in range(10)] == [True] * 9 + [False]


def test_what_finds_no_room_is_refused_whole() -> None:
    listing = make_listing(50)
    output = filled(listing, capacity=131072)
    frames = 0
    while output.fill_next(50, now_s=CLOCK_S):
        frames += 1
    pending = output.pending_bytes
    assert frames * (50 * 100) < pending <= 131072 - 65536
    assert output.append(b"x" * 65536) and not output.append(b"x" * 65536)
    assert output.pending_bytes == pending + 65536
    assert output.pending_frames == frames and output.frames_handed == 0


def test_only_frames_that_were_taken_whole_are_logged(tmp_path: Path) -> None:
    listing = make_listing(20)
    path = tmp_path / "truth"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    truth = TruthLog(descriptor, 3)
    output = filled(listing, truth, session=5, connection=2)
    assert output.fill_changed(only_new=True) == 20
    first = output.pending_bytes
    assert output.fill_next(7, now_s=CLOCK_S)
    output.hand(first - 1, send_ts_ns=10, send_mono_ns=1)
    assert truth.records == 0 and output.packets_handed == 0
    output.hand(1, send_ts_ns=20, send_mono_ns=2)
    assert truth.records == 20 and output.frames_handed == 1
    output.hand(output.pending_bytes - 1, send_ts_ns=30, send_mono_ns=3)
    truth.flush()
    os.close(descriptor)
    records = np.fromfile(path, truth_dtype)
    assert len(records) == 20
    assert records["instrument_token"].tolist() == listing.tokens.tolist()
    assert set(records["session"].tolist()) == {5} and set(records["connection"].tolist()) == {2}
    assert records["packet_index"].tolist() == list(range(20))
    assert set(records["kind"].tolist()) == {KIND_CACHED}
    assert set(records["send_ts_ns"].tolist()) == {20}
    assert set(records["send_mono_ns"].tolist()) == {2}
    assert set(records["sequence"].tolist()) == {1} and set(records["mode"].tolist()) == {3}


def test_pumping_through_a_slow_socket_delivers_every_frame_in_order(tmp_path: Path) -> None:
    listing = make_listing(30)
    descriptor = os.open(tmp_path / "truth", os.O_WRONLY | os.O_CREAT)
    truth = TruthLog(descriptor)
    output = filled(listing, truth)
    near, far = socket.socketpair()
    received = bytearray()
    encoded = 0
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        near.setblocking(False)
        while encoded < 20_000 or output.pending_bytes:
            budget = max(0, 20_000 - encoded)
            encoded += output.pump(near.fileno(), packets_per_frame=7, budget=budget, now_s=CLOCK_S)
            if output.pending_bytes:
                received += far.recv(5000)
        near.close()
        while data := far.recv(1 << 16):
            received += data
    truth.flush()
    os.close(descriptor)
    records = np.fromfile(tmp_path / "truth", truth_dtype)
    seen, at = [], 0
    while at < len(received):
        length = int.from_bytes(received[at + 2 : at + 4], "big")
        assert received[at] == 0x82 and received[at + 1] == 126
        for tick in parse(bytes(received[at + 4 : at + 4 + length])):
            seen.append(tick["instrument_token"])
        at += 4 + length
    assert encoded == 20_000 == len(seen) == output.packets_handed
    assert records["instrument_token"].tolist() == seen
    assert set(records["kind"].tolist()) == {KIND_FRESH}
    for token in np.unique(records["instrument_token"]):
        sequences = records["sequence"][records["instrument_token"] == token]
        assert sequences.tolist() == list(range(2, 2 + len(sequences)))


def test_a_dead_socket_and_a_full_disk_are_told() -> None:
    output = filled(make_listing(30))
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenPipeError):
        output.pump(near.fileno(), packets_per_frame=5, budget=50, now_s=CLOCK_S)
    read_only = os.open("/dev/null", os.O_RDONLY)
    truth = TruthLog(read_only)
    output = filled(make_listing(3), truth)
    output.fill_changed()
    output.hand(output.pending_bytes, send_ts_ns=1, send_mono_ns=1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        truth.flush()
    os.close(read_only)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_frame_headers_are_minimal(size: int) -> None:
    frame = websocket_frame(2, b"x" * size)
    header = 2 if size < 126 else 4 if size < 65536 else 10
    assert len(frame) == header + size and frame[0] == 0x82
    assert frame[1] == (size if size < 126 else 126 if size < 65536 else 127)


def test_numbers_out_of_bounds_are_refused() -> None:
    listing = make_listing(3)
    output = Output(listing.market)
    with pytest.raises(IndexError, match="expected 0 to 2"):
        output.subscribe(3, 1)
    with pytest.raises(ValueError, match="mode 4"):
        output.subscribe(0, 4)
    with pytest.raises(IndexError):
        listing.market.advance(np.array([9], np.uint32), now_s=CLOCK_S)
    with pytest.raises(ValueError, match="lengths"):
        empty, zeros = np.empty(0, np.uint32), np.zeros(1, np.uint8)
        Market(empty, empty, empty, zeros, zeros, seed=1, now_s=1)
    with pytest.raises(ValueError, match="capacity"):
        Output(listing.market, capacity=10)


@pytest.mark.parametrize("segment", [1, 9])
def test_a_shifted_price_takes_its_book_along_and_stays_in_range(segment: int) -> None:
    listing = make_listing()
    position = positions_by_segment(listing)[segment]
    token = int(listing.tokens[position])
    (before,) = parse(encode_frame([listing.market.packet(position, 3)]))
    assert listing.shift(token, 150.0)
    listing.market.advance(np.array([position], np.uint32), now_s=CLOCK_S + 1)
    (after,) = parse(encode_frame([listing.market.packet(position, 3)]))
    # A step of the walk is two ticks, and an index carries its sequence in 4,096 of its units.
    assert after["last_price"] - before["last_price"] == pytest.approx(150, abs=41)
    if segment != 9:
        for side in ("buy", "sell"):
            pairs = zip(before["depth"][side], after["depth"][side], strict=True)
            assert all(b["price"] - a["price"] == pytest.approx(150, abs=0.2) for a, b in pairs)
    assert not listing.shift(token, -1e6) and not listing.shift(token, 1e9)
    assert not listing.shift(3, 1.0)
