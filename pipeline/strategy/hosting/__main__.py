"""`python -m pipeline.strategy.hosting NAME`: be a hosted strategy.

Floor 3; started by the supervisor, which says on standard input what is to be hosted.
Whatever ends user code ends this interpreter in the ordinary way: `atexit` runs, files are
flushed. What would keep it alive then (a thread that does not end) is cut short.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

from ext.process import set_name
from pipeline.core import logs
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.pages import StatusPage
from pipeline.strategy.hosting.entry import EntryError
from pipeline.strategy.hosting.host import Host, open_page
from pipeline.strategy.hosting.output import Bounded, Budget, LogStream
from pipeline.strategy.hosting.task import take

_STDIN: Final = 0
_STDERR: Final = 2
#: How long an interpreter that is at its end may take to end.
_LINGER_S: Final = 2.0
_ALARM_S: Final = 5
_FRAMES_SHOWN: Final = 8
_HEADLINE_LENGTH_MAX: Final = 400
#: What a traceback does not show: the frames that lead from the interpreter to user code.
_NOT_THEIRS: Final = (str(Path(__file__).parent), "<frozen ")

_log = logging.getLogger(__name__)


def main() -> None:
    """Read what to host, run it to its end, and leave."""
    hosting = take(_STDIN)
    log = os.dup(_STDERR)  # close-on-exec, and safe from a user who closes 2
    handler = logs.set_up(
        role=f"strategy {hosting.label}",
        level=hosting.log_level,
        log_format=hosting.log_format,
        descriptor=log,
        also=(hosting.entry.partition(":")[0].partition(".")[0], "root"),
    )
    faulthandler.enable(log)
    set_name(f"strategy {hosting.label}")
    page = open_page(hosting)
    budget = Budget()
    handler.addFilter(Bounded(budget, page.record))
    out, err = _redirect(budget, page)
    host = Host(hosting, page)
    sys.excepthook = _Reporter(host, page, os.getpid())
    code = 0
    try:
        host.run()
    except EntryError as error:
        _log.error(f"{error}; [[strategy]] {hosting.label} cannot run until that is mended")
        code = int(error.exit_code)
    finally:
        for stream in (out, err):
            stream.finish()
        _end_soon(_code_of(sys.exception(), code))
    sys.exit(code)


def _redirect(budget: Budget, page: StatusPage) -> tuple[LogStream, LogStream]:
    printed = logging.getLogger("pipeline.printed")
    # By our handlers alone: one of the user's that writes to sys.stderr would come back here.
    printed.handlers, printed.propagate = list(logging.getLogger().handlers), False
    out = LogStream(printed, logging.INFO, budget, page.record)
    err = LogStream(printed, logging.WARNING, budget, page.record)
    sys.stdout, sys.stderr = out, err
    return out, err


def _code_of(error: BaseException | None, code: int) -> int:
    """Return the exit code that Python would give an ending."""
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else int(ExitCode.FAILED)
    return code if error is None else int(ExitCode.FAILED)


def _end_soon(code: int) -> None:
    """Have this process end by itself, or else by force: user code may hold on to it."""

    def leave() -> NoReturn:
        logging.shutdown()
        os._exit(code & 0xFF)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.alarm(_ALARM_S)
    timer = threading.Timer(_LINGER_S, leave)
    timer.daemon = True
    with contextlib.suppress(RuntimeError):  # no thread can be started: the alarm alone, then
        timer.start()


class _Reporter:
    """Tells an exception that ends this process: what it is first, then the way to it."""

    def __init__(self, host: Host, page: StatusPage, pid: int) -> None:
        self._host = host
        self._page = page
        self._pid = pid

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if os.getpid() == self._pid:
            self._page.record["exceptions"] += 1
        headline = "".join(traceback.format_exception_only(error)).strip()
        if len(headline) > _HEADLINE_LENGTH_MAX:
            headline = headline[:_HEADLINE_LENGTH_MAX] + "..."
        frames = [f for f in traceback.extract_tb(trace) if not f.filename.startswith(_NOT_THEIRS)]
        way = "".join(traceback.format_list(frames[-_FRAMES_SHOWN:])).rstrip()
        _log.critical(f"{self._host.phase.label} raised {headline}\n{way}")


if __name__ == "__main__":
    main()
