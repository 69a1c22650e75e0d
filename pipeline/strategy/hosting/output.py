"""What user code prints, as lines of the log and bounded. Floor 3.

`print` and all that writes to `sys.stdout` or `sys.stderr` becomes log lines with the strategy's
name, and what it logs itself counts with them. A log that nobody reads never blocks it, and who
prints without end gets a burst and then a few lines a second; the rest is counted. What native
code and child processes write to the descriptors is not seen here: it goes to the instance's
stderr as it is.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.logs import LINE_BYTES_MAX

LINES_BURST: Final = 200
LINES_PER_S: Final = 20
_LINE_LENGTH_MAX: Final = LINE_BYTES_MAX // 2
_STDERR: Final = 2
_OURS: Final = "pipeline"

Record = np.ndarray[Any, Any]


class Budget:
    """So many lines at once, and so many a second later on."""

    def __init__(self, now: Callable[[], int] = monotonic_ns) -> None:
        self._now = now
        self._left = float(LINES_BURST)
        self._at_ns = now()

    def take(self) -> bool:
        """Whether one more line may be written."""
        now = self._now()
        earned = (now - self._at_ns) / NS_PER_S * LINES_PER_S
        self._left, self._at_ns = min(LINES_BURST, self._left + earned), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Bounded(logging.Filter):
    """Lets user code log as much as it may print, out of the same budget; ours passes."""

    def __init__(self, budget: Budget, record: Record) -> None:
        super().__init__()
        self._budget = budget
        self._record = record

    def filter(self, record: logging.LogRecord) -> bool:
        """Count a record of user code, and say whether it may pass."""
        if record.name.partition(".")[0] == _OURS:
            return True
        passes = self._budget.take()
        self._record["output_lines" if passes else "output_lines_dropped"] += 1
        return passes


class LogStream(io.TextIOBase):
    """A text stream whose lines go to a logger; `record` counts them (StrategyStatusC)."""

    def __init__(self, log: logging.Logger, level: int, budget: Budget, record: Record) -> None:
        self._log = log
        self._level = level
        self._budget = budget
        self._record = record
        self._unfinished = threading.local()  # no lock: a forked child would find it held

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What `buffer` takes."""
        return "utf-8"

    @property
    def buffer(self) -> io.RawIOBase:
        """A binary stream of the same lines."""
        return _Bytes(self)

    def fileno(self) -> int:
        """Return the instance's stderr: what is written there is not bounded."""
        return _STDERR

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, text: str) -> int:
        """Pass every finished line on; keep the rest until its end comes."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        whole = getattr(self._unfinished, "text", "") + text
        *lines, rest = whole.split("\n")
        for line in lines:
            self._pass_on(line)
        while len(rest) >= _LINE_LENGTH_MAX:
            self._pass_on(rest[:_LINE_LENGTH_MAX])
            rest = rest[_LINE_LENGTH_MAX:]
        self._unfinished.text = rest
        return len(text)

    def finish(self) -> None:
        """Pass on what has no end of line."""
        rest = getattr(self._unfinished, "text", "")
        self._unfinished.text = ""
        if rest:
            self._pass_on(rest)

    def _pass_on(self, line: str) -> None:
        if not line.strip():
            return
        if self._budget.take():
            self._record["output_lines"] += 1
            self._log.log(self._level, "%s", line[:LINE_BYTES_MAX])
        else:
            self._record["output_lines_dropped"] += 1


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer` of a strategy."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._stream.write(raw.decode("utf-8", "replace"))
        return len(raw)
