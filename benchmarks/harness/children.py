"""Processes of a scenario: started in one place, all dead when the scenario is over.

Each is a fresh interpreter with the GIL to itself, and is killed by the kernel when the harness
dies first. A child that measures prints its result as one line of JSON, the last on its output.
What children put into temporary files lies in one folder in shared memory, which goes with them:
one that is killed tidies up nothing.
"""

from __future__ import annotations

import json
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from pipeline.supervisor.launch import Launched, launch

_END_S: Final = 10.0
_READY_S: Final = 30.0
_SHARED_MEMORY: Final = Path("/dev/shm")


class Asked:
    """A measuring child that waits for questions on its input and answers each with a line."""

    def __init__(self, process: Launched, children: Children) -> None:
        self._process = process
        self._children = children

    def end(self) -> None:
        """See that it is dead."""
        self._children.stop(self._process)

    def answer(self, question: str, *, timeout_s: float) -> dict[str, Any]:
        """Return what it found; a child that takes too long ends, and that is an error."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n".encode())
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(
            self._children.first_line(self._process, timeout_s=timeout_s)
        )
        return found


class ChildFailed(RuntimeError):
    """A process of a scenario ended badly, or too late."""


class Children:
    """A context that owns processes, and the folder for their temporary files."""

    def __init__(self) -> None:
        self._running: list[Launched] = []
        base = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
        self._folder = tempfile.TemporaryDirectory(prefix="bench-", dir=base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self._running):
            end(process)
        self._running.clear()
        self._folder.cleanup()

    def start(
        self, arguments: Sequence[str], *, piped: bool = False, asked: bool = False
    ) -> Launched:
        """Start `python ARGUMENTS`; with `piped` its output is the caller's to read."""
        process = launch(
            arguments, die_with_parent=signal.SIGKILL, environment={"TMPDIR": self._folder.name},
            stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
        )  # fmt: skip
        self._running.append(process)
        return process

    def stop(self, process: Launched) -> None:
        """See that a process is dead before the scenario is over."""
        end(process)
        self._running.remove(process)

    def first_line(self, process: Launched, *, timeout_s: float = _READY_S) -> str:
        """Return the next line that a process prints: where it listens, or an answer."""
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], timeout_s)
        line = process.stdout.readline().decode().strip() if ready else ""
        if not line:
            raise ChildFailed(f"{_called(process)} said nothing, or ended")
        return line

    def ask(self, arguments: Sequence[str]) -> Asked:
        """Start a child that answers questions, and wait until it says that it is ready."""
        process = self.start(arguments, piped=True, asked=True)
        self.first_line(process)
        return Asked(process, self)

    def result(self, arguments: Sequence[str], *, timeout_s: float) -> dict[str, Any]:
        """Run a measuring child to its end and return what it found."""
        return self.finish(self.start(arguments, piped=True), timeout_s=timeout_s)

    def finish(self, process: Launched, *, timeout_s: float) -> dict[str, Any]:
        """Wait for a measuring child and return what it found."""
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"{_called(process)} took longer than {timeout_s:g} s") from None
        finally:
            end(process)
            self._running.remove(process)
        lines = output.decode(errors="replace").splitlines()
        if process.returncode or not lines:
            raise ChildFailed(f"{_called(process)} ended with code {process.returncode}")
        found: dict[str, Any] = json.loads(lines[-1])
        return found


def end(process: Launched) -> None:
    """See that a process is dead and its pipe closed."""
    if process.poll() is None:
        process.kill()
        process.wait(_END_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _called(process: Launched) -> str:
    arguments = process.args
    words = [str(word) for word in arguments] if isinstance(arguments, list) else [str(arguments)]
    named = [after for before, after in pairwise(words) if before == "-m"]
    return f"the process {named[-1] if named else words[-1]}"
