"""Fork a child that dies with us and shares nothing but what it was given. Floor 5.

Only ever called in a single-threaded process: a fork copies the calling thread alone, and locks
that another one held would stay held.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from ext.process import die_with_parent, set_name
from pipeline.core.exit_codes import ExitCode

Body = Callable[[], int]
Closer = Callable[[], object]

_log = logging.getLogger(__name__)


def fork(body: Body, *, name: str, closers: Iterable[Closer]) -> int:
    """Return the pid of a child that runs `body` and exits with what it returns.

    `closers` close, in the child, what belongs to the parent alone. Signals are blocked around
    the fork, so that none reaches the child while it still has our handlers.
    """
    everything = signal.valid_signals()
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    parent = os.getpid()
    try:
        _flush_streams()
        pid = os.fork()
        if pid == 0:
            _live(body, name, closers, parent, old_mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    return pid


def _flush_streams() -> None:
    """Leave the child nothing to write twice. A stream may be closed, or nobody may read it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def _live(
    body: Body, name: str, closers: Iterable[Closer], parent: int, mask: set[int | signal.Signals]
) -> NoReturn:
    """Run the child's whole life; never returns into the parent's frames."""
    code = int(ExitCode.FAILED)
    try:
        die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:  # else it died before it could take us with it
            _shed(closers)
            set_name(name)
            # Ctrl-C reaches the whole group: the supervisor alone decides what it means, even if
            # a role has a handler of its own for it.
            signal.pthread_sigmask(signal.SIG_SETMASK, mask | {signal.SIGINT})
            code = body()
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else int(ExitCode.FAILED)
    finally:
        # Whatever was raised ends here, told once; the parent's own `finally` must not run.
        if (error := sys.exception()) is not None and not isinstance(error, SystemExit):
            _log.critical("%s ends by an error of its own", name, exc_info=error)
        logging.shutdown()  # repeats that were held back are told, with their count
        os._exit(code & 0xFF)


def _shed(closers: Iterable[Closer]) -> None:
    for close in closers:
        close()
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
