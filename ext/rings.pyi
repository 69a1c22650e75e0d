from typing import Any

import numpy as np

from ext.mapping import Mapping

_Bytes = bytes | bytearray | memoryview | np.ndarray[Any, Any]

def frame_ring_size(capacity: int, area_bytes: int) -> int: ...

class FrameRingWriter:
    tail: int
    message_bytes_max: int
    def __init__(self, mapping: Mapping) -> None: ...
    def append(
        self,
        message: _Bytes,
        *,
        connection_epoch: int,
        receive_ts_ns: int,
        receive_mono_ns: int,
    ) -> bool: ...
    def append_state(
        self,
        state: int,
        reason: int,
        *,
        detail: int = 0,
        connection_epoch: int,
        ts_ns: int,
        mono_ns: int,
    ) -> None: ...
    def last_epoch(self) -> int: ...

class FrameRingReader:
    cursor: int
    tail: int
    lost: int
    def __init__(self, mapping: Mapping, cursor: int | None = None) -> None: ...
    def poll(self) -> dict[str, Any] | None: ...
