"""A folder that processes of a demo have for as long as they run, and that is gone then. Floor 6.

Leaving ends the processes first, also after an error or Ctrl-C, and a second Ctrl-C does not
interrupt that.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InFolder(ABC):
    """A context: inside it the processes run, in `folder`."""

    folder: Path

    def __enter__(self) -> Self:
        # Held until the folder has a name here: nobody else could remove it. To block them would
        # not do, for another thread, as BLAS has some, would then take them.
        held: list[int] = []
        before = {n: signal.signal(n, lambda number, _: held.append(number)) for n in _INTERRUPTS}
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="pipeline-demo-"))
        except OSError:
            _restore(before)
            raise
        try:
            _restore(before)
            if any(before[signal.Signals(number)] is not signal.SIG_IGN for number in held):
                raise KeyboardInterrupt
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
        _restore(before)


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
