"""SIGTERM and Ctrl-C while a connect() holds the main thread: it ends in good order. Floor 7.

As Twisted's reactor does it for kiteconnect: the callback that runs is not torn, `on_close` is
called, connect() returns, and what stands behind it is still done. Handlers of the user's are left
alone, and so is every thread but the main one.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

#: What Python does with these by itself; a program that wants otherwise has said so.
_DEFAULTS: Final[dict[signal.Signals, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}

_log = logging.getLogger("pipeline.kite")


@contextmanager
def ending_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` for the first signal; a second one of its kind does what it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    caught: list[str] = []

    def end(number: int, frame: FrameType | None) -> None:
        # Nothing is logged here: what was interrupted may be writing to that very log.
        caught.append(signal.Signals(number).name)
        signal.signal(number, _DEFAULTS[signal.Signals(number)])
        stop()

    ours = [number for number, usual in _DEFAULTS.items() if signal.getsignal(number) is usual]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is end:
                signal.signal(number, _DEFAULTS[number])
        for name in caught:
            _log.info("ended on %s", name)
