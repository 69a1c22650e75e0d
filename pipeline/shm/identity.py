"""Who a process is, so that a pid that was used again is not mistaken for it. Floor 2."""

from __future__ import annotations

import os
import sys
import time
import uuid
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import psutil

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ProcessIdentity(NamedTuple):
    """A pid with the process's start, in clock ticks since boot (the /proc/PID/stat field)."""

    pid: int
    start_time: int


@cache
def boot_id() -> bytes:
    """Return 16 bytes that differ after every boot of this machine."""
    if _BOOT_ID.exists():
        return uuid.UUID(_BOOT_ID.read_text().strip()).bytes
    return int(psutil.boot_time()).to_bytes(16, "little")


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when there is no such process."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return _start_time_without_proc(pid) if not Path("/proc/self").exists() else 0
    # The command name is in parentheses and may hold anything, also half a character: the kernel
    # cuts it to 15 bytes. The fields follow the last parenthesis.
    state, *fields = line.rpartition(b")")[2].split()
    return 0 if state in (b"Z", b"X") else int(fields[18])


def _start_time_without_proc(pid: int) -> int:
    try:
        return int((psutil.Process(pid).create_time() - psutil.boot_time()) * 100)
    except psutil.NoSuchProcess:
        return 0


def own_identity() -> ProcessIdentity:
    """Return the identity of the calling process."""
    return _identity_of(os.getpid())


@lru_cache(maxsize=1)  # a forked child has another pid, and asks for each segment that it claims
def _identity_of(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, start_time(pid))


def own_age_s() -> float:
    """Return how long the calling process has been there, under whatever program before this."""
    if sys.platform != "linux":
        return time.time() - psutil.Process().create_time()
    started_s = start_time(os.getpid()) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s


def is_alive(pid: int, started: int) -> bool:
    """Return whether that very process still runs; a zombie does not."""
    return pid > 0 and started != 0 and start_time(pid) == started
