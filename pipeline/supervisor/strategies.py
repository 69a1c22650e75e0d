"""Hosted strategies: how one starts, and how its whole session ends. Floor 5.

A forked child becomes a fresh interpreter, so that user code is imported there alone and may use
threads, locks and native libraries as it likes. It stays the supervisor's own child, with the
death signal that it asked for before: so it is watched, reaped and restarted as every other role.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NoReturn

from pipeline.core.config.entries import search_path
from pipeline.strategy.hosting.task import Hosting, dump
from pipeline.supervisor.launch import importable
from pipeline.supervisor.task import Task

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2
#: Who forks while it is being ended is looked for again so often.
_LOOKS: Final = 3


def become_host(task: Task) -> NoReturn:
    """Replace this forked child by an interpreter that hosts a strategy, in its own session."""
    strategy = task.config.hosted[task.number]
    hosting = Hosting(
        instance=task.paths.name,
        shm_directory=str(task.paths.root),
        number=task.number,
        label=strategy.label,
        entry=strategy.entry,
        search_path=tuple(search_path(task.config.folder)),
        params=dict(strategy.params),
        slow=strategy.slow,
        instruments_file=task.config.instruments_file,
        owner=strategy.owner,
        nap_us=strategy.nap_us,
        report_after_s=strategy.report_after_s,
        log_level=task.config.instance.log_level,
        log_format=task.config.instance.log_format,
        restart=task.restart,
    )
    os.setsid()
    _put_on_stdin(dump(hosting))
    os.dup2(_STDERR, _STDOUT)  # what native code prints
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # -P: a module beside wherever we were started is not ours to import.
    line = [sys.executable, "-P", "-m", "pipeline.strategy.hosting", strategy.label]
    os.execve(sys.executable, line, importable({}))


def _put_on_stdin(raw: bytes) -> None:
    with _unnamed_file() as file:
        file.write(raw)
        file.flush()
        file.seek(0)
        os.dup2(file.fileno(), _STDIN)


def _unnamed_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("strategy"), "w+b")
    return tempfile.TemporaryFile()


def end_session(leader: int) -> None:
    """Kill what is left of the session of a child that has ended and was not reaped yet.

    Until it is reaped its pid names that session and no other. A process that made a session of
    its own is not found.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(_LOOKS):
        left = list(_in_session(leader))
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break


def _in_session(leader: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, session = line.rpartition(b")")[2].split()[:4]
        if int(session) == leader and state not in (b"Z", b"X") and int(entry.name) != leader:
            yield int(entry.name)
