"""Start a fresh interpreter: for a whole pipeline, or for a strategy's program. Floor 5.

Never a fork of the calling process, which may be a user's, with threads and a notebook in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGTERM, Signals
from typing import IO, Final

from pipeline.core.secrets import Secret

#: What `subprocess` takes for a standard stream.
Stream = int | IO[bytes] | None

#: What `launch` returns.
Launched = subprocess.Popen[bytes]

#: For whoever forks, before numpy is imported: a pool of threads does not survive a fork.
ONE_THREAD: Final = dict.fromkeys(
    (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)

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


def launch_instance(config: str, *, tokens: Mapping[str, Secret], source: str) -> Launched:
    """Start a pipeline whose config, and each account's token, come through a pipe.

    `config` is TOML; `tokens` are by account's name and are written once to its secrets folder;
    `source` names the config in messages. The pipeline's log lines, as JSON, are the returned
    process's `stderr`. It ends in good order when the calling *thread* ends; the caller waits.
    """
    process = launch(
        ["-m", "pipeline.supervisor.piped"],
        die_with_parent=SIGTERM,
        # A folder called `pipeline` where the user happens to be is not ours.
        environment={**ONE_THREAD, "PYTHONSAFEPATH": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    revealed = {name: secret.reveal() for name, secret in tokens.items()}
    document = {"config": config, "source": source, "tokens": revealed}
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(json.dumps(document).encode())
    process.stdin = None  # closed; `communicate` would flush it
    return process


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
