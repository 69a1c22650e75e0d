"""Hold a request for processors that wake quickly: Linux's /dev/cpu_dma_latency. Floor 1.

A process that has the device open, with a signed 32-bit number of microseconds written to it,
keeps every idle processor of the machine out of states that take longer to leave; 0 makes them
poll and never halt. It ends with the descriptor, and so with the process, however that ends. Only
the kernel's cpuidle framework heeds it: without a driver of that, as on many virtual machines, an
idle processor goes straight to the architecture's halt, and so a request is refused.
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

#: The folder that device and driver are looked for below; tests give a tree of their own.
ROOT: Final = Path("/")
#: Below the root.
DEVICE: Final = Path("dev/cpu_dma_latency")
#: Never halt at all.
AWAKE_US: Final = 0
#: What is in force where nobody asks.
NOTHING_ASKED_US: Final = 2_000_000_000

_PROCESSORS: Final = Path("sys/devices/system/cpu")
_CPUIDLE: Final = _PROCESSORS / "cpuidle"
_VALUE: Final = struct.Struct("i")
_NO_DEVICE: Final = "give it to the container (--device) or to the systemd unit"
_UDEV: Final = "a udev rule gives it to a group"
_NO_DRIVER: Final = (
    "Linux has no cpuidle driver here, so nothing heeds the request",
    "remove the setting: naps help here, and are on by default (nap_us of [decoder] and "
    "[[strategy]], see tuning.md)",
)


class HeldLatency:
    """One request; a context that ends it, as does `close`, or the end of the process.

    A program that is executed does not inherit it; a child that is only forked has to `close` its
    copy. Raises CpuLatencyRefused when the device cannot be had, or nothing would heed it.
    """

    def __init__(self, latency_us: int, *, root: Path = ROOT) -> None:
        self._descriptor = _open(root)
        try:
            os.write(self._descriptor, _VALUE.pack(latency_us))
        except OSError as error:
            self.close()
            raise _refused(root, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the request; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def require_heeded(root: Path = ROOT) -> None:
    """Raise CpuLatencyRefused when a request would be refused; else change nothing.

    The device asks for nothing while it is open without a number written to it.
    """
    os.close(_open(root))


def in_force_us(root: Path = ROOT) -> int | None:
    """Return the smallest number that any process asks for; None where that is not told."""
    try:
        descriptor = os.open(root / DEVICE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        raw = os.read(descriptor, _VALUE.size)
    finally:
        os.close(descriptor)
    return int(_VALUE.unpack(raw)[0]) if len(raw) == _VALUE.size else None


def _open(root: Path) -> int:
    # First of all: a right to a device that nobody heeds is not worth a udev rule.
    if _has_no_driver(root):
        raise CpuLatencyRefused(*_NO_DRIVER)
    try:
        return os.open(root / DEVICE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(root, error) from None


def _has_no_driver(root: Path) -> bool:
    """Return whether the kernel says that it has no cpuidle driver, or no cpuidle at all."""
    try:
        name = (root / _CPUIDLE / "current_driver").read_bytes().strip()
    except OSError:
        # Not built in, or switched off by the kernel's command line. Without /sys, or a right to
        # it, nothing is told: a request that nobody heeds costs nothing, and one that is refused
        # for want of a file might have been heeded, so it is made.
        try:
            return (root / _PROCESSORS).is_dir() and not (root / _CPUIDLE).exists()
        except PermissionError:
            return False
    return name in (b"", b"none")


def _refused(root: Path, error: OSError) -> CpuLatencyRefused:
    mend = _UDEV if error.errno == errno.EACCES else _NO_DEVICE
    found = f"{root / DEVICE}: {error.strerror}"
    return CpuLatencyRefused(found, f"{mend}, see docs/operations.md; or remove the setting")
