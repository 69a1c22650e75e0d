"""Logging to stderr that never blocks, never tells a secret and never floods. Floor 1.

Each line carries time, level, role and connection, is at most PIPE_BUF bytes long (so that lines
of several processes do not mix in a pipe), and is written only if stderr takes it at once;
otherwise it is counted in `dropped`. A message that repeats within a second is held back; the
last of them is written afterwards, with their number. A warning that goes on and on is told less
and less often, for several processes may have the same. Libraries are heard from `warning` on,
whatever our own level is: some log headers or addresses with tokens at debug level.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from collections import OrderedDict
from typing import Final

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.secrets import redact

LINE_BYTES_MAX: Final = min(select.PIPE_BUF, 4096)
REPEAT_INTERVAL_NS: Final = NS_PER_S
REPEAT_INTERVAL_NS_MAX: Final = 30 * NS_PER_S
REPEAT_GROWTH: Final = 4
#: What was not heard for so long is over, and told at once when it begins again.
REPEAT_SILENCE_NS: Final = 2 * NS_PER_S
LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_OURS: Final = "pipeline"
_DISTINCT_MAX: Final = 256
_CUT_MARK: Final = " [cut]"
_COUNT_BYTES: Final = 40  # room for the number of repeats


class StderrHandler(logging.Handler):
    """Writes whole lines to a descriptor, or counts them in `dropped`."""

    def __init__(self, descriptor: int, *, role: str, as_json: bool) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.role = role
        self.as_json = as_json
        self.dropped = 0
        self._seen: OrderedDict[tuple[str, str, str], _Repeats] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, unless it repeats what was written a moment ago."""
        now = monotonic_ns()
        self.tell_repeats(now)
        connection = getattr(record, "connection", None)
        line = self._line(record, redact(_text(record)), connection)
        # A warning with other numbers in it is a repeat all the same; news are not.
        what = str(record.msg) if record.levelno >= logging.WARNING else record.getMessage()
        key = (record.levelname, what, str(connection))
        seen = self._seen.get(key)
        if seen is not None:
            seen.again(line, now)
            return
        self._seen[key] = _Repeats(now, grows=record.levelno >= logging.WARNING)
        if len(self._seen) > _DISTINCT_MAX:
            self._tell(self._seen.popitem(last=False)[1])
        self._write(line)

    def flush(self) -> None:
        """Write the last of every message that was held back, with its count."""
        while self._seen:
            self._tell(self._seen.popitem(last=False)[1])

    def tell_repeats(self, now: int) -> None:
        """Write what has been held back for long enough; `now` is monotonic, in nanoseconds.

        Every new record does so. A process that may have none for long calls this now and then.
        """
        for key, seen in list(self._seen.items()):
            if now >= seen.until_ns or seen.is_over(now):
                self._tell(seen)
                if not seen.goes_on(now):
                    del self._seen[key]

    def _tell(self, seen: _Repeats) -> None:
        if seen.count:
            self._write(_with_count(seen.line, seen.count, as_json=self.as_json))

    def _line(self, record: logging.LogRecord, text: str, connection: int | None) -> bytes:
        if self.as_json:
            return self._json_line(record, text, connection)
        place = self.role if connection is None else f"{self.role} c{connection}"
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{moment}.{int(record.msecs):03d}Z {record.levelname.lower():7} [{place}] "
        return _cut(head + text.replace("\n", " | "))

    def _json_line(self, record: logging.LogRecord, text: str, connection: int | None) -> bytes:
        fields = {
            "ts_ns": int(record.created * 1e6) * 1000,
            "level": record.levelname.lower(),
            "role": self.role,
            "pid": record.process,
            "logger": record.name,
            "message": text,
        }
        if connection is not None:
            fields["connection"] = connection
        line = json.dumps(fields).encode() + b"\n"
        while len(line) > LINE_BYTES_MAX - _COUNT_BYTES:
            # Escapes make the length of the result hard to foresee, so halve until it fits.
            text = text[: len(text) // 2]
            fields["message"] = text + _CUT_MARK
            line = json.dumps(fields).encode() + b"\n"
        return line

    def _write(self, line: bytes) -> None:
        try:
            if not select.select([], [self.descriptor], [], 0)[1]:
                self.dropped += 1
                return
            os.write(self.descriptor, line)
        except (OSError, ValueError):
            self.dropped += 1  # stderr is closed, or its reader is gone


class _Repeats:
    """What a message was followed by: how often it came again until `until_ns`, and the last."""

    __slots__ = ("count", "grows", "interval_ns", "last_ns", "line", "until_ns")

    def __init__(self, now: int, *, grows: bool) -> None:
        self.count = 0
        self.line = b""
        self.grows = grows
        self.interval_ns = REPEAT_INTERVAL_NS
        self.last_ns = now
        self.until_ns = now + REPEAT_INTERVAL_NS

    def again(self, line: bytes, now: int) -> None:
        """Take note of one more."""
        self.count += 1
        self.line = line
        self.last_ns = now

    def is_over(self, now: int) -> bool:
        """Whether it has not been heard for a while."""
        return now - self.last_ns >= REPEAT_SILENCE_NS

    def goes_on(self, now: int) -> bool:
        """Return whether it may come again, and begin the next interval then."""
        if not self.count or self.is_over(now):
            return False
        if self.grows:
            self.interval_ns = min(self.interval_ns * REPEAT_GROWTH, REPEAT_INTERVAL_NS_MAX)
        self.until_ns = now + self.interval_ns
        self.count = 0
        return True


class _LibraryFilter(logging.Filter):
    """Lets our own records pass, those of `also`, and a library's from `warning` on."""

    def __init__(self, also: tuple[str, ...]) -> None:
        super().__init__()
        self._heard = (_OURS, *also)

    def filter(self, record: logging.LogRecord) -> bool:
        heard = record.name.partition(".")[0] in self._heard
        return heard or record.levelno >= logging.WARNING


class _Redacted(logging.Filter):
    """Takes our secrets out of a library's records, whoever handles them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


_REDACTED: Final = _Redacted()


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    return text


def _with_count(line: bytes, count: int, *, as_json: bool) -> bytes:
    """Return the last of `count` equal messages as the one line that stands for all."""
    if as_json:
        return line[:-2] + b', "repeats": %d}\n' % count
    if count == 1:
        return line  # it stands for itself: nothing to count
    more = b" (one of %d like it)\n" % count
    return line[: min(len(line) - 1, LINE_BYTES_MAX - len(more))] + more


def _cut(text: str) -> bytes:
    line = text.encode("utf-8", "backslashreplace")
    if len(line) >= LINE_BYTES_MAX:
        mark = _CUT_MARK.encode()
        line = line[: LINE_BYTES_MAX - 1 - len(mark)]
        line = line.decode("utf-8", "ignore").encode() + mark
    return line + b"\n"


def set_up(
    *,
    role: str,
    level: str = "info",
    log_format: str = "text",
    descriptor: int | None = None,
    also: tuple[str, ...] = (),
) -> StderrHandler:
    """Make this process log to stderr alone; call again in a forked child with its own role.

    `also`: packages that are heard as our own, and not as libraries.
    """
    target = sys.stderr.fileno() if descriptor is None else descriptor
    handler = StderrHandler(target, role=role, as_json=log_format == "json")
    handler.addFilter(_LibraryFilter(also))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    return handler


def tell_terminal(text: str, descriptor: int = 2) -> None:
    """Write a line to stderr as it is, if that is a terminal, so that nothing keeps it."""
    try:
        if os.isatty(descriptor) and select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, text.encode() + b"\n")
    except OSError:
        pass  # the terminal is gone


def get_logger(
    name: str, *, connection: int | None = None
) -> logging.LoggerAdapter[logging.Logger]:
    """Return a logger whose lines carry the connection; `name` is the module's."""
    logger = logging.getLogger(name)
    return logging.LoggerAdapter(logger, {"connection": connection})


def redact_library(*names: str) -> None:
    """Take our secrets out of what these loggers of a library log, for handlers not ours, too."""
    for name in names:
        logging.getLogger(name).addFilter(_REDACTED)
