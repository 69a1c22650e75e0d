"""A folder that processes of a demo have for as long as they run, and that is gone then. Floor 6.

Leaving ends the processes first, also after an error or Ctrl-C, and a second Ctrl-C does not
interrupt that.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Self

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InFolder(ABC):
    """A context: inside it the processes run, in `folder`."""

    folder: Path

    def __enter__(self) -> Self:
        # Held until the folder has a name here: nobody else could remove it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        self.folder = Path(tempfile.mkdtemp(prefix="pipeline-demo-"))
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._leave()

    @abstractmethod
    def _start(self) -> None:
        """Start the processes; an error ends those that were started."""

    @abstractmethod
    def _end(self) -> None:
        """End the processes that run, however many they are."""

    def _leave(self) -> None:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTS}
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)
