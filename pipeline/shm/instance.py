"""The instance file: who supervises it, its state, and the manifest of its segments. Floor 2.

The supervisor holds flock on it for life. A clean end stores ENDED, unlinks the segments and,
last, this file; a crash leaves everything for `stat`, until the next start or `clean`.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from ext.cells import Cell, Word
from pipeline.core import layout
from pipeline.core.clock import real_ns
from pipeline.core.enums import Broker, InstanceState, Reason, Role, SegmentKind
from pipeline.core.errors import (
    InstanceEnded,
    InstanceNotFound,
    InstanceRunning,
    LayoutMismatch,
    SegmentError,
)
from pipeline.shm import specs
from pipeline.shm.identity import is_alive, own_identity
from pipeline.shm.names import DEFAULT_ROOT, InstancePaths, user_directory
from pipeline.shm.segment import Segment

#: Each one needs another instance that ends between two of our system calls.
_TRIES_MAX: Final = 100


class ManifestEntry(NamedTuple):
    """One existing segment; `decoder` and `broker` are a connection's."""

    kind: SegmentKind
    number: int
    decoder: int = 0
    broker: Broker = Broker.NONE


class InstanceInfo(NamedTuple):
    """What an instance file says at one moment."""

    name: str
    instance_id: bytes
    state: InstanceState
    supervisor_pid: int
    supervisor_alive: bool
    started_ts_ns: int
    changed_ts_ns: int
    exit_code: int
    reason: Reason
    connection_count: int
    decoder_count: int
    gated: bool
    manifest_version: int
    manifest: tuple[ManifestEntry, ...]

    @property
    def is_live(self) -> bool:
        """Whether readers may attach: its supervisor lives and it has not ended."""
        return self.supervisor_alive and self.state is not InstanceState.ENDED


class InstanceView:
    """A reader's look at an instance file; cheap enough for every timed-out wait."""

    def __init__(self, paths: InstancePaths) -> None:
        self.paths = paths
        self.segment = Segment.attach(paths.instance_file, SegmentKind.INSTANCE)
        self._cell = _cell(self.segment)
        self._seen: tuple[int, InstanceInfo, int] | None = None

    @property
    def version(self) -> int:
        """Grows with every change; 0 = never written."""
        return self._cell.version

    @property
    def version_word(self) -> Word:
        """The word that `version` is read from, for those who watch it without the interpreter."""
        return Word(self.segment.mapping, layout.data_offset)

    def read(self) -> InstanceInfo:
        """Return a consistent copy."""
        return self._copy()[1]

    def is_live(self) -> bool:
        """As `read().is_live`, without reading again what has not changed."""
        if self._seen is None or self._seen[0] != self._cell.version:
            self._seen = self._copy()
        started, pid = self._seen[2], self._seen[1].supervisor_pid
        return self._seen[1].state is not InstanceState.ENDED and is_alive(pid, started)

    def _copy(self) -> tuple[int, InstanceInfo, int]:
        value = np.zeros((), layout.dtypes["InstanceC"])
        version = self._cell.read_into(value.reshape(1).view(np.uint8))
        return version, _info(value), int(value["supervisor_start_time"])


class InstanceFile:
    """The supervisor's hold on an instance: lock, state and manifest."""

    def __init__(self, paths: InstancePaths, segment: Segment, lock: int, instance_id: bytes):
        self.paths = paths
        self.segment = segment
        self.lock = lock
        self.instance_id = instance_id
        self._cell = _cell(segment)
        self._value = np.zeros((), layout.dtypes["InstanceC"])
        self.manifest: tuple[ManifestEntry, ...] = ()

    @classmethod
    def claim(cls, paths: InstancePaths) -> InstanceFile:
        """Become the one supervisor of this name, clearing away what a crash left behind.

        Raises InstanceRunning with the pid of the supervisor that lives, SegmentError when the
        directory cannot be used. The lock is closed on exec, not on fork: children close it.
        """
        mutex = _lock_directory(paths)
        try:
            _refuse_if_running(paths)
            remove_files(paths)
            return cls._make(paths)
        finally:
            os.close(mutex)

    @classmethod
    def _make(cls, paths: InstancePaths) -> InstanceFile:
        """Finish and lock the file under another name: whoever sees it sees all of it."""
        instance_id = uuid.uuid4().bytes
        unfinished = paths.directory / "instance.new"
        segment = Segment.create(unfinished, specs.instance(), instance_id=instance_id)
        lock = _lock(unfinished)
        assert lock is not None, "nobody else makes or locks this file under the mutex"
        segment.claim(Role.SUPERVISOR)
        instance = cls(paths, segment, lock, instance_id)
        instance._begin()
        segment.path = unfinished.rename(paths.instance_file)
        return instance

    def _begin(self) -> None:
        pid, started = own_identity()
        value = self._value
        value["supervisor_pid"] = pid
        value["supervisor_start_time"] = started
        value["started_ts_ns"] = real_ns()
        value["instance_id"] = np.frombuffer(self.instance_id, np.uint8)
        raw = self.paths.name.encode()
        value["name"][: len(raw)] = np.frombuffer(raw, np.uint8)
        self.set_state(InstanceState.STARTING, Reason.STARTED)

    def _write(self) -> None:
        self._value["changed_ts_ns"] = real_ns()
        self._cell.write(self._value.reshape(1).view(np.uint8))

    def set_state(self, state: InstanceState, reason: Reason, exit_code: int = 0) -> None:
        """Publish a state."""
        self._value["state"] = state
        self._value["reason"] = reason
        self._value["exit_code"] = exit_code
        self._write()

    def set_manifest(self, entries: Sequence[ManifestEntry], *, gated: bool | None = None) -> None:
        """Publish which segments exist; readers follow by the manifest's version.

        `gated` stays what it is when it is not given.
        """
        if len(entries) > layout.manifest_entries:
            raise SegmentError(
                f"{len(entries)} segments, an instance holds {layout.manifest_entries}"
            )
        value = self._value
        value["entries"] = 0
        for row, entry in zip(value["entries"], entries, strict=False):
            row["kind"], row["number"] = entry.kind, entry.number
            row["decoder"], row["broker"] = entry.decoder, entry.broker
        value["entry_count"] = len(entries)
        value["connection_count"] = sum(e.kind is SegmentKind.TICKS for e in entries)
        value["decoder_count"] = sum(e.kind is SegmentKind.LATEST for e in entries)
        if gated is not None:
            value["gated"] = gated
        value["manifest_version"] += 1
        self.manifest = tuple(entries)
        self._write()

    @property
    def manifest_version(self) -> int:
        """The version of the manifest that was set last."""
        return int(self._value["manifest_version"])

    def is_in_place(self) -> bool:
        """Whether the instance's path still leads to this file: somebody may have removed it."""
        try:
            return os.fstat(self.lock).st_ino == self.paths.instance_file.stat().st_ino
        except FileNotFoundError:
            return False

    def abandon(self, reason: Reason, exit_code: int) -> None:
        """Store ENDED for those who have it mapped, and give the lock back; unlink nothing."""
        self.set_state(InstanceState.ENDED, reason, exit_code)
        os.close(self.lock)

    def end(self, reason: Reason, exit_code: int) -> None:
        """Store ENDED, unlink the segments and, last, the instance file; give the lock back."""
        self.set_state(InstanceState.ENDED, reason, exit_code)
        remove_files(self.paths)
        remove_directories(self.paths)
        os.close(self.lock)


def _cell(segment: Segment) -> Cell:
    return Cell(segment.mapping, layout.data_offset, layout.dtypes["InstanceC"].itemsize)


def _lock(path: Path) -> int | None:
    """Open and lock the file; None when somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _lock_directory(paths: InstancePaths) -> int:
    """Make the directory and hold a lock on it: starters and `clean` come one after another."""
    while True:
        _make_directories(paths)
        try:
            mutex = os.open(paths.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # an instance that ended took it away
        fcntl.flock(mutex, fcntl.LOCK_EX)
        try:
            if os.fstat(mutex).st_ino == paths.directory.stat().st_ino:
                return mutex
        except FileNotFoundError:
            pass
        os.close(mutex)


def _make_directories(paths: InstancePaths) -> None:
    """Make them, again if an instance that ends takes one away that we were to make another in.

    Not for ever: there are file systems that answer so to whoever makes a directory, as /proc.
    """
    for last in (*[False] * (_TRIES_MAX - 1), True):
        try:
            paths.make()
        except SegmentError as error:
            if last or not isinstance(error.__cause__, FileNotFoundError):
                raise
        else:
            return


def _refuse_if_running(paths: InstancePaths) -> None:
    try:
        lock = _lock(paths.instance_file)
    except FileNotFoundError:
        return
    if lock is None:
        raise InstanceRunning(paths.name, _supervisor_pid(paths))
    os.close(lock)


def clean_instance(paths: InstancePaths) -> None:
    """Remove what a crashed instance left; raise InstanceRunning when it is alive."""
    if not paths.directory.exists():
        return
    mutex = _lock_directory(paths)
    try:
        _refuse_if_running(paths)
        remove_files(paths)
        remove_directories(paths)
    finally:
        os.close(mutex)


def _supervisor_pid(paths: InstancePaths) -> int:
    try:
        return InstanceView(paths).read().supervisor_pid
    except (FileNotFoundError, SegmentError, LayoutMismatch):
        return 0


def _info(value: np.ndarray[Any, Any]) -> InstanceInfo:
    entries = value["entries"][: min(int(value["entry_count"]), layout.manifest_entries)]
    pid = int(value["supervisor_pid"])
    return InstanceInfo(
        name=value["name"].tobytes().rstrip(b"\0").decode(),
        instance_id=value["instance_id"].tobytes(),
        state=InstanceState(int(value["state"])),
        supervisor_pid=pid,
        supervisor_alive=is_alive(pid, int(value["supervisor_start_time"])),
        started_ts_ns=int(value["started_ts_ns"]),
        changed_ts_ns=int(value["changed_ts_ns"]),
        exit_code=int(value["exit_code"]),
        reason=Reason(int(value["reason"])),
        connection_count=int(value["connection_count"]),
        decoder_count=int(value["decoder_count"]),
        gated=bool(value["gated"]),
        manifest_version=int(value["manifest_version"]),
        manifest=tuple(
            ManifestEntry(SegmentKind(int(e["kind"])), int(e["number"]), int(e["decoder"]),
                          Broker(int(e["broker"])))
            for e in entries
        ),
    )  # fmt: skip


def remove_files(paths: InstancePaths) -> None:
    """Unlink every file of an instance, the instance file last; missing ones are no error."""
    for directory in (paths.readers, paths.secrets, paths.quarantine, paths.directory):
        for path in sorted(directory.glob("*")):
            if path != paths.instance_file and not path.is_dir():
                path.unlink(missing_ok=True)
    paths.instance_file.unlink(missing_ok=True)


def remove_directories(paths: InstancePaths) -> None:
    """Remove the emptied directories of an instance; the user's one stays if others use it."""
    shutil.rmtree(paths.directory, ignore_errors=True)
    try:
        user_directory(paths.root).rmdir()
    except OSError:
        return  # other instances are in it


def list_instances(root: Path = DEFAULT_ROOT) -> list[InstanceInfo]:
    """Return every instance of this user, running or left by a crash, by name."""
    found = []
    for directory in sorted(user_directory(root).glob("*")):
        try:
            found.append(InstanceView(InstancePaths(directory.name, root)).read())
        except (FileNotFoundError, SegmentError, LayoutMismatch, ValueError):
            continue  # not an instance, or of another build: `clean` and `doctor` tell
    return found


def ended(view: InstanceView) -> InstanceEnded:
    """Return the error for an instance that is no longer there: it has ended, or crashed."""
    crashed = view.read().state is not InstanceState.ENDED
    return InstanceEnded(view.paths.name, crashed=crashed, option=_option(view.paths.root))


def _option(root: Path) -> str:
    """Return what commands are given besides a name to find an instance."""
    return "" if root == DEFAULT_ROOT else f" --shm-directory {shlex.quote(str(root))}"


def not_found(name: str, root: Path = DEFAULT_ROOT) -> InstanceNotFound:
    """Return the error for an instance that cannot be attached to, with what there is instead."""
    found = [info for info in list_instances(root) if info.state is not InstanceState.ENDED]
    return InstanceNotFound(
        name,
        [info.name for info in found if info.supervisor_alive],
        [info.name for info in found if not info.supervisor_alive and info.name],
        _option(root),
    )


def open_instance(name: str, root: Path = DEFAULT_ROOT) -> InstanceView:
    """Return a view of a live instance; raise InstanceNotFound naming those that run."""
    try:
        view = InstanceView(InstancePaths(name, root))
    except FileNotFoundError:
        view = None
    if view is None or view.version == 0 or not view.read().is_live:
        raise not_found(name, root)
    return view
