"""Start a fresh interpreter: for a whole pipeline, or for a strategy's program. Floor 5.

Never a fork of the calling process, which may be a user's, with threads and a notebook in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import IO, Final

#: What `subprocess` takes for a standard stream.
Stream = int | IO[bytes] | None

#: What `launch` returns.
Launched = subprocess.Popen[bytes]

_ROOT: Final = Path(__file__).parents[2]


def launch(
    arguments: Sequence[str],
    *,
    die_with_parent: Signals | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
) -> Launched:
    """Start `python ARGUMENTS`, in a session of its own, where this very package is importable.

    `arguments` are as Python takes them: `["-m", "pipeline", "run", ...]` or `["program.py", ...]`;
    secrets do not belong there, every user of the machine can read them. `environment` is added
    to ours. With `die_with_parent` the new process gets that signal when the calling *thread*
    ends, however it ends: SIGTERM suits a pipeline, which then drains, SIGKILL anything else.
    The caller waits for the process.
    """
    line = [sys.executable, *arguments]
    if die_with_parent is not None:
        host = [sys.executable, "-m", "pipeline.supervisor.hosted"]
        line = [*host, str(os.getpid()), str(int(die_with_parent)), *arguments]
    return subprocess.Popen(
        line,
        env=importable(environment or {}),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def wait_or_kill(process: Launched, timeout_s: float) -> int:
    """Return the exit code of a launched process, killing it when it takes longer."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def importable(additions: Mapping[str, str]) -> dict[str, str]:
    """Return our environment and `additions`, with this very package on Python's path."""
    found = {**os.environ, **additions}
    paths = [str(_ROOT), *filter(None, [found.get("PYTHONPATH", "")])]
    found["PYTHONPATH"] = os.pathsep.join(paths)
    return found
