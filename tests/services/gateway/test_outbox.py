"""A client's outbox: in order while it flows, the newest of each while it does not."""

from __future__ import annotations

import random

import pytest

from pipeline.services.gateway.outbox import FLUSH_FRAMES, Outbox, Sums, slot_of


class Wire:
    """Takes bytes; pauses its outbox when it is full."""

    def __init__(self, *, throttled: bool = False, room: int = 1 << 30) -> None:
        self.sums = Sums()
        self.dirty: list[Outbox] = []
        self.out = b""
        self.room = room
        self.box = Outbox(self.write, self.sums, self.dirty, throttled=throttled)

    def write(self, data: bytes) -> None:
        self.out += data
        self.room -= len(data)
        if self.room <= 0:
            self.box.pause()

    def offer(self, slot: int, frame: bytes) -> None:
        self.sums.offered += 1
        self.box.take(slot, frame)

    def flush(self) -> None:
        for box in self.dirty:
            box.flush()
        self.dirty.clear()

    def drain(self, room: int) -> None:
        self.room = room
        self.box.resume()


def test_everything_goes_out_in_order_in_one_write() -> None:
    wire = Wire()
    for number in range(5):
        wire.offer(slot_of(1, 1), b"%d" % number)
    assert wire.out == b"" and wire.dirty == [wire.box] and wire.sums.waiting == 5
    wire.flush()
    assert wire.out == b"01234" and wire.sums.sent == 5 and wire.sums.bytes_out == 5


def test_a_full_socket_keeps_the_newest_of_each_and_sends_the_oldest_instrument_first() -> None:
    wire = Wire(room=1)
    wire.offer(4, b"x")
    wire.flush()
    for slot, frame in ((8, b"a"), (12, b"b"), (8, b"c"), (8, b"d")):
        wire.offer(slot, frame)
    assert wire.out == b"x" and wire.sums.conflated == 2 and len(wire.box) == 2
    wire.drain(100)
    assert wire.out == b"xdb" and wire.sums.waiting == 0
    wire.offer(8, b"e")
    wire.flush()
    assert wire.out == b"xdbe"


def test_a_socket_that_fills_up_in_the_middle_stops_the_rest() -> None:
    wire = Wire(room=1)
    for number in range(3 * FLUSH_FRAMES):
        wire.offer(number, b".")
    wire.flush()
    assert len(wire.out) == FLUSH_FRAMES and len(wire.box) == 2 * FLUSH_FRAMES
    wire.drain(1)
    assert len(wire.out) == 2 * FLUSH_FRAMES
    wire.drain(1000)
    assert len(wire.out) == 3 * FLUSH_FRAMES and wire.sums.conflated == 0


def test_what_is_wanted_no_longer_is_dropped_and_so_is_all_at_the_end() -> None:
    wire = Wire(room=0)
    wire.box.pause()
    for slot in (1, 2, 3):
        wire.offer(slot, b"x")
    wire.box.forget(2)
    wire.box.forget(2)
    assert wire.sums.dropped == 1
    wire.box.close()
    wire.box.close()
    assert wire.sums.dropped == 3 and wire.sums.waiting == 0 and wire.out == b""
    wire.drain(100)  # its socket may say so before it is gone
    wire.offer(1, b"y")
    wire.offer(1, b"z")
    wire.flush()
    assert wire.sums.dropped == 5 and wire.sums.waiting == len(wire.box) == 0 and wire.out == b""


def test_a_throttle_loses_nothing_but_what_is_replaced() -> None:
    wire = Wire(throttled=True)
    for frame in (b"1", b"2", b"3"):
        wire.offer(1, frame)
    wire.offer(2, b"a")
    wire.flush()
    assert wire.out == b""
    wire.box.release()
    assert wire.out == b"3a" and wire.sums.conflated == 2
    wire.box.pause()
    wire.offer(1, b"4")
    wire.box.release()
    assert wire.out == b"3a"
    wire.box.resume()
    wire.box.release()
    assert wire.out == b"3a4"


@pytest.mark.parametrize("seed", range(20))
def test_the_sums_balance_and_the_last_of_each_arrives(seed: int) -> None:
    rng = random.Random(seed)
    wire = Wire(throttled=rng.random() < 0.3, room=rng.randrange(200))
    last: dict[int, bytes] = {}
    for number in range(2000):
        slot = rng.randrange(10)
        last[slot] = b"<%d.%d>" % (slot, number)
        wire.offer(slot, last[slot])
        if rng.random() < 0.1:
            wire.flush()
        if rng.random() < 0.05:
            wire.drain(rng.randrange(2000))
        if rng.random() < 0.05:
            wire.box.release()
        assert wire.sums.waiting == len(wire.box)
    wire.flush()
    wire.drain(1 << 30)
    wire.box.release()
    assert wire.sums.waiting == 0 and wire.sums.sent + wire.sums.conflated == 2000
    for slot, frame in last.items():
        assert wire.out.rfind(b"<%d." % slot) == wire.out.find(frame)
