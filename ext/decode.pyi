from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class DecodeStatus(IntEnum):
    DECODE_DONE = 0
    DECODE_MORE = 1
    DECODE_SHORT = 2
    DECODE_TRAILING = 3
    DECODE_HEARTBEAT = 4
    DECODE_UNKNOWN_TOKEN = 5

def decode_frame_kite(
    frame: Buffer,
    *,
    receive_ts_ns: int = 0,
    receive_mono_ns: int = 0,
    source_sequence: int = 0,
    connection: int = 0,
    connection_epoch: int = 0,
    first_sequence: int = 0,
    portable: bool = False,
) -> NDArray[np.void]: ...

class KiteDecoder:
    def __init__(
        self, *, capacity: int = 4096, slot_count: int = 0, portable: bool = False
    ) -> None: ...
    @property
    def counters(self) -> dict[str, int]: ...
    @property
    def records(self) -> NDArray[np.void]: ...
    @property
    def position(self) -> tuple[int, int]: ...
    def assign(
        self, rows: NDArray[Any], *, now_mono_ns: int = 0, grace_ns: int = 2_000_000_000
    ) -> tuple[int, int, int]: ...
    def slot_of(self, instrument_token: int) -> int | None: ...
    def decode_unit(
        self,
        frame: Buffer,
        *,
        packet_index: int = 0,
        packet_offset: int = 0,
        receive_ts_ns: int = 0,
        receive_mono_ns: int = 0,
        source_sequence: int = 0,
        connection: int = 0,
        connection_epoch: int = 0,
        assignment_current: bool = False,
    ) -> tuple[DecodeStatus, NDArray[np.void], NDArray[np.uint32]]: ...
    def decode_frames(self, frames: list[bytes]) -> int: ...
