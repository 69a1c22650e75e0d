"""One shared-memory file with the common header. Floor 2.

Files are sized with posix_fallocate, so that a full tmpfs is an error at the start and not a
SIGBUS later, and are never truncated. Readers map them read-only. Python's SharedMemory is not
used: its resource tracker unlinks segments that are in use.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np

from ext.mapping import Mapping
from pipeline.core import layout
from pipeline.core.enums import Role, SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError, ShmFull
from pipeline.shm.identity import boot_id, own_identity

#: Tick streams begin here, so that sequence 0 can mean "never seen".
FIRST_TICK_SEQUENCE: Final = 1

_HEADER: Final = layout.dtypes["SegmentHeaderC"]


class SegmentSpec(NamedTuple):
    """The shape of a segment: everything its header says of sizes."""

    kind: SegmentKind
    number: int
    data_bytes: int
    record_size: int
    capacity: int
    area_bytes: int = 0

    @property
    def file_bytes(self) -> int:
        """The size of the file, header included."""
        return layout.data_offset + self.data_bytes


class Segment:
    """A mapped segment. `header` and `record()` are views into it, not copies.

    The mapping lives as long as this object or any array made from it.
    """

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self.path = path
        self.mapping = mapping
        self.header: np.ndarray[Any, Any] = np.ndarray((), _HEADER, memoryview(mapping))

    @classmethod
    def create(cls, path: Path, spec: SegmentSpec, *, instance_id: bytes) -> Self:
        """Make a new file of zeros with its header and map it writable.

        Raises ShmFull when the file system has no room, SegmentError for any other refusal.
        """
        descriptor = _open_new(path)
        try:
            _allocate(descriptor, path, spec.file_bytes)
            segment = cls(path, Mapping(descriptor, spec.file_bytes, writable=True))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        segment._write_header(spec, instance_id)
        return segment

    @classmethod
    def attach(cls, path: Path, kind: SegmentKind, *, writable: bool = False) -> Self:
        """Map an existing segment.

        Raises FileNotFoundError when there is none, LayoutMismatch when another build wrote
        it, SegmentError when it is not a segment of that kind, cannot be opened, or is shorter
        than it says.
        """
        descriptor = _open_existing(path, writable=writable)
        try:
            found = os.fstat(descriptor)
            size = found.st_size if stat.S_ISREG(found.st_mode) else 0
            if size < layout.data_offset:
                raise SegmentError(f"{path}: {size} bytes, too short for a segment")
            _check_header(path, kind, os.pread(descriptor, layout.data_offset, 0), size)
            return cls(path, Mapping(descriptor, size, writable=writable))
        finally:
            os.close(descriptor)

    def _write_header(self, spec: SegmentSpec, instance_id: bytes) -> None:
        header = self.header
        header["layout_version"] = layout.layout_version
        header["kind"] = spec.kind
        header["fingerprint"] = layout.fingerprint
        header["instance_id"] = np.frombuffer(instance_id, np.uint8)
        header["boot_id"] = np.frombuffer(boot_id(), np.uint8)
        header["segment_bytes"] = spec.file_bytes
        header["data_offset"] = layout.data_offset
        header["capacity"] = spec.capacity
        header["area_bytes"] = spec.area_bytes
        header["record_size"] = spec.record_size
        header["number"] = spec.number
        if spec.kind is SegmentKind.TICKS:
            control = self.record("RingControlC")
            control["oldest"] = control["tail"] = FIRST_TICK_SEQUENCE
        header["magic"] = layout.magic  # last: only now is it a segment

    def claim(self, role: Role) -> None:
        """Note the calling process as the writer; the lease detects bugs, nothing more."""
        pid, started = own_identity()
        self.header["writer_start_time"] = started
        self.header["writer_pid"] = pid
        self.header["writer_role"] = role

    @property
    def instance_id(self) -> bytes:
        """The 16 bytes of the instance that made this segment."""
        return bytes(self.header["instance_id"].tobytes())

    @property
    def capacity(self) -> int:
        """The number of records."""
        return int(self.header["capacity"])

    def record(self, struct: str, offset: int = 0) -> np.ndarray[Any, Any]:
        """Return a C struct of the segment's data as a 0-d structured array, in place."""
        return np.ndarray(
            (), layout.dtypes[struct], memoryview(self.mapping), layout.data_offset + offset
        )

    def records(self, struct: str, count: int, offset: int = 0) -> np.ndarray[Any, Any]:
        """Return `count` C structs of the segment's data as a (count,) array, in place."""
        return np.ndarray(
            (count,), layout.dtypes[struct], memoryview(self.mapping), layout.data_offset + offset
        )


def _open_existing(path: Path, *, writable: bool) -> int:
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # a stray file where an instance's directory would be
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        raise SegmentError(f"{path}: {error.strerror}; expected a file of this user's") from error


def _open_new(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise SegmentError(f"cannot create {path}: {error.strerror}") from error


def _allocate(descriptor: int, path: Path, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise SegmentError(f"cannot size {path} to {size} bytes: {error.strerror}") from error
        free = os.statvfs(path.parent)
        raise ShmFull(
            directory=str(path.parent),
            needed_bytes=size,
            free_bytes=free.f_bavail * free.f_frsize,
            key="[rings] seconds or tick_records",
        ) from error


def _check_header(path: Path, kind: SegmentKind, raw: bytes, size: int) -> None:
    header = np.frombuffer(raw, _HEADER)[0]
    if header["magic"] != layout.magic:
        raise SegmentError(f"{path} is not a segment of ours, or is not finished")
    if header["fingerprint"] != layout.fingerprint:
        raise LayoutMismatch(
            f"{path} has layout {header['fingerprint']:#x} (version {header['layout_version']}), "
            f"this build reads {layout.fingerprint:#x} (version {layout.layout_version}): "
            "use the same build on both sides, or restart the instance"
        )
    if header["kind"] != kind:
        number = int(header["kind"])
        found = next((known.name for known in SegmentKind if known == number), f"{number}, unknown")
        raise SegmentError(f"{path} is a segment of kind {found}, expected {kind.name}")
    if header["segment_bytes"] != size:
        raise SegmentError(f"{path} has {size} bytes, its header says {header['segment_bytes']}")
