"""What the socket has not taken yet: order, partial sends, errors, and a limit in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ext.websocket import FrameReader
from pipeline.feed.outbox import Outbox


class SlowTransport:
    """Takes as many bytes at a time as it is told; None raises."""

    def __init__(self, takes: list[int | None]) -> None:
        self.takes = takes
        self.taken = bytearray()

    def send(self, data: bytearray) -> int:
        count = self.takes.pop(0) if self.takes else 0
        if count is None:
            raise BrokenPipeError
        self.taken += data[:count]
        return min(count, len(data))

    def read(self, reader: FrameReader, *, wait_ns: int, want_write: bool, turn_ns: int = 0) -> int:
        raise AssertionError("an outbox does not read")

    def close(self) -> None:
        raise AssertionError("an outbox does not close")

    abort = close


@given(frames=st.lists(st.binary(min_size=1, max_size=20)), takes=st.lists(st.integers(0, 30)))
def test_bytes_leave_in_order_and_none_twice(frames: list[bytes], takes: list[int]) -> None:
    outbox = Outbox(timeout_ns=100)
    transport = SlowTransport(list(takes))
    for frame in frames:
        outbox.add(frame, 0)
        outbox.flush(transport, 0)
    whole = b"".join(frames)
    assert whole.startswith(bytes(transport.taken))
    assert len(outbox) == len(whole) - len(transport.taken)
    transport.takes = [1 << 20]
    outbox.flush(transport, 0)
    assert bytes(transport.taken) == whole


def test_a_socket_that_takes_nothing_is_blocked_after_its_time() -> None:
    outbox = Outbox(timeout_ns=100)
    assert not outbox.is_blocked(10_000)
    outbox.add(b"abc", 1000)
    transport = SlowTransport([])
    outbox.flush(transport, 1050)
    assert not outbox.is_blocked(1099)
    assert outbox.is_blocked(1100)
    transport.takes = [1]
    outbox.flush(transport, 1100)
    assert not outbox.is_blocked(1199), "it took a byte"
    assert outbox.is_blocked(1200)


def test_an_error_is_final_and_frees_nobody_from_reading() -> None:
    outbox = Outbox(timeout_ns=100)
    outbox.add(b"abc", 0)
    outbox.flush(SlowTransport([1, None]), 0)
    assert outbox.broken
    transport = SlowTransport([100])
    outbox.add(b"more", 0)
    outbox.flush(transport, 0)
    assert transport.taken == b""
