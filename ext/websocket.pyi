from collections.abc import Callable
from enum import IntEnum

from typing_extensions import Buffer

from ext.cells import Bell, Word
from ext.rings import FrameRingWriter

class WsOpcode(IntEnum):
    WS_TEXT = 1
    WS_BINARY = 2
    WS_CLOSE = 8
    WS_PING = 9
    WS_PONG = 10

class StreamResult(IntEnum):
    STREAM_IDLE = 0
    STREAM_BUSY = 1
    STREAM_EVENT = 2
    STREAM_WRITABLE = 3
    STREAM_INTERRUPTED = 4
    STREAM_ENDED = 5

Event = tuple[int, bytes, int, int]

wait_slice_ns: int

def encode_frame(opcode: int, payload: Buffer) -> bytes: ...
def encode_close(code: int, reason: bytes = b"") -> bytes: ...
def arm_crash(name: str, passage: int = 1, signal_number: int = 9) -> bool: ...

class MaskSource: ...

class FrameReader:
    events: list[Event]
    def __init__(
        self,
        message_bytes_max: int = ...,
        receive_buffer_bytes: int = ...,
        *,
        fragments_max: int = 64,
        ring: FrameRingWriter | None = None,
        bell: Bell | None = None,
        connection_epoch: int = 0,
        status: Buffer | None = None,
        frame_deadline_ns: int = ...,
        spin_ns: int = 0,
        watch: Word | None = None,
        wake_fd: int = -1,
    ) -> None: ...
    def read_fd(
        self,
        fd: int,
        *,
        reads_max: int = 64,
        busy_ns: int = 10_000_000,
        wait_ns: int = 50_000_000,
        turn_ns: int = 0,
        want_write: bool = False,
        blocks: bool = False,
    ) -> int: ...
    def wait_fd(self, fd: int, wait_ns: int, want_write: bool = False) -> int: ...
    def writable(self) -> memoryview: ...
    def stamp(self) -> None: ...
    def consumed(self, count: int, stamp: bool = True) -> int: ...
    def read_records(
        self,
        read: Callable[[int, memoryview], int],
        wants_more: type[BaseException],
        until_mono_ns: int,
    ) -> int: ...
    def feed(self, data: Buffer) -> int: ...
    def take_events(self) -> list[Event]: ...
    def check_timers(self, now_mono_ns: int) -> int: ...
    def end(self, reason: int, error_number: int = 0) -> None: ...
    @property
    def watched(self) -> int: ...
    @watched.setter
    def watched(self, value: int) -> None: ...
    @property
    def drained(self) -> bool: ...
    @property
    def reason(self) -> int: ...
    @property
    def close_code(self) -> int: ...
    @property
    def failure(self) -> str: ...
    @property
    def error_number(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def frame_since_mono_ns(self) -> int: ...
    @property
    def status(self) -> memoryview: ...
