"""Signals as something that a selector can wait for. Floor 5.

The handlers do nothing; the interpreter writes each signal's number into a pipe. Children call
`close` right after the fork, with signals still blocked.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType
from typing import Any, Final

from pipeline.core.control import TOPOLOGY_CHANGED

#: What ends an instance in an orderly way; a terminal that is closed is one of them.
ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Where there is no pidfd, deaths are learnt from SIGCHLD.
HAS_PIDFD: Final = hasattr(os, "pidfd_open")

_READ_BYTES: Final = 512


class SignalInbox:
    """Collects signals from now on; `close` gives the old handlers back."""

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe()
        for descriptor in (self.descriptor, self._writer):
            os.set_blocking(descriptor, False)
        self._old_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # Whoever started us may have SIGCHLD ignored; the kernel would reap our children then.
        self._old_handlers: dict[int, Any] = {
            signal.SIGCHLD: signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        }
        wanted = (*ENDING, TOPOLOGY_CHANGED)
        for number in wanted if HAS_PIDFD else (*wanted, signal.SIGCHLD):
            # nohup has SIGHUP ignored, and means it.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                old = signal.signal(number, _note)
                self._old_handlers.setdefault(number, old)

    def take(self) -> list[int]:
        """Return the signals that came since the last call, without waiting."""
        with contextlib.suppress(BlockingIOError):
            return list(os.read(self.descriptor, _READ_BYTES))
        return []

    def close(self) -> None:
        """Restore the handlers and close the pipe."""
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: that there is a handler is what makes the interpreter write to the pipe."""
