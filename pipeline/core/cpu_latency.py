"""Hold a request for processors that wake quickly: Linux's /dev/cpu_dma_latency. Floor 1.

A process that has the device open, with a signed 32-bit number of microseconds written to it,
keeps every idle processor of the machine out of states that take longer to leave; 0 makes them
poll and never halt. It ends with the descriptor, and so with the process, however that ends.
Linux documentation, "PM Quality Of Service Interface" and "CPU Idle Time Management", Power
Management Quality of Service for CPUs. Changes nothing that stays, and never waits.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Final, Self

from pipeline.core.errors import CpuLatencyRefused

DEVICE: Final = Path("/dev/cpu_dma_latency")
#: Never halt at all.
AWAKE_US: Final = 0
#: What is in force where nobody asks.
NOTHING_ASKED_US: Final = 2_000_000_000

_VALUE: Final = struct.Struct("i")
_NO_DEVICE: Final = "give it to the container (--device) or to the systemd unit"
_UDEV: Final = "a udev rule gives it to a group"


class HeldLatency:
    """One request; a context that ends it, as does `close`, or the end of the process.

    A program that is executed does not inherit it; a child that is only forked has to `close` its
    copy. Raises CpuLatencyRefused when the device cannot be had.
    """

    def __init__(self, latency_us: int, *, device: Path = DEVICE) -> None:
        self._descriptor = _open(device)
        try:
            os.write(self._descriptor, _VALUE.pack(latency_us))
        except OSError as error:
            self.close()
            raise _refused(device, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the request; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def require_device(device: Path = DEVICE) -> None:
    """Raise CpuLatencyRefused when the device cannot be had; else change nothing.

    Open without a number written to it, it asks for nothing.
    """
    os.close(_open(device))


def in_force_us(device: Path = DEVICE) -> int | None:
    """Return the smallest number that any process asks for; None where that is not told."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = os.read(descriptor, _VALUE.size)
    finally:
        os.close(descriptor)
    return int(_VALUE.unpack(raw)[0]) if len(raw) == _VALUE.size else None


def _open(device: Path) -> int:
    try:
        return os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(device, error) from None


def _refused(device: Path, error: OSError) -> CpuLatencyRefused:
    mend = _UDEV if error.errno == errno.EACCES else _NO_DEVICE
    return CpuLatencyRefused(f"{device}: {error.strerror}", f"{mend}, see docs/operations.md")
