"""The instance of one KiteTicker: started with it, ended with it. Floor 7.

A thread launches it, hands its log lines on to Python's logging and waits for its end: the
instance is told to end when that thread does, which is when the user's process does, however that
comes about.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from pipeline.core.errors import InstanceError, InstanceNotFound
from pipeline.core.secrets import Secret
from pipeline.shm.instance import clean_instance
from pipeline.shm.names import InstancePaths
from pipeline.strategy.market import Market, attach
from pipeline.supervisor.launch import Launched, launch_instance

#: The account's name in the config, and so of the file that keeps its token.
ACCOUNT: Final = "kite"

_START_S: Final = 60.0
_END_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.005

_log = logging.getLogger("pipeline.kite")
_names: set[str] = set()
_names_lock: Final = threading.Lock()


def take_name() -> str:
    """Return `kite-<pid>`, with a number behind it while this process has more than one."""
    with _names_lock:
        number = 1
        while (name := _name(number)) in _names:
            number += 1
        _names.add(name)
    return name


def _name(number: int) -> str:
    return f"kite-{os.getpid()}" + (f"-{number}" if number > 1 else "")


class OwnInstance:
    """A pipeline that lives no longer than this process; used by the thread that made it."""

    def __init__(self, paths: InstancePaths) -> None:
        self.paths = paths
        self.over = threading.Event()
        self._owner = os.getpid()
        self._process: Launched | None = None
        self._launched = threading.Event()
        self._last_words = ""

    def start(self, config: str, token: Secret) -> Market:
        """Start it and attach; raise InstanceError with its last words when it does not come up."""
        arguments = (config, token)
        threading.Thread(
            target=self._keep, args=arguments, name=f"{self.paths.name}-keeper", daemon=True
        ).start()
        atexit.register(self.end)
        try:
            return self._attach()
        except BaseException:
            self.end()
            raise

    def _attach(self) -> Market:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                return attach(self.paths.name, from_="oldest", shm_directory=self.paths.root)
            except InstanceNotFound:
                if self.over.is_set() or time.monotonic() > deadline:
                    words = self._last_words or "it does not answer"
                    raise InstanceError(f"KiteTicker's pipeline did not start: {words}") from None
            time.sleep(_LOOK_AGAIN_S)

    def end(self) -> None:
        """End it in good order, and by force when that takes long; nothing is left behind."""
        if os.getpid() != self._owner:
            return  # a forked child: the instance is its parent's
        atexit.unregister(self.end)
        self._launched.wait(_START_S)
        if self._process is not None:
            self._process.terminate()
            if not self.over.wait(_END_S):
                self._process.kill()
                self.over.wait(_END_S)
            clean_instance(self.paths)  # what is left when it was killed
        with _names_lock:
            _names.discard(self.paths.name)

    # ---- in the thread -------------------------------------------------------------------------

    def _keep(self, config: str, token: Secret) -> None:
        try:
            self._process = launch_instance(config, tokens={ACCOUNT: token}, source="KiteTicker")
        except OSError as error:
            self._last_words = f"no process can be started: {error.strerror}"
        finally:
            self._launched.set()
        if self._process is not None:
            assert self._process.stderr is not None
            with self._process.stderr as lines:
                for line in lines:
                    self._relay(line)
            self._process.wait()
        self.over.set()

    def _relay(self, line: bytes) -> None:
        """Hand one log line on; what is no log line is a traceback of the interpreter."""
        text, level, place = line.decode(errors="replace").rstrip(), logging.ERROR, "pipeline"
        with contextlib.suppress(ValueError, KeyError, TypeError):
            fields = json.loads(text)
            place = fields["role"]
            if "connection" in fields:
                place += f" c{fields['connection']}"
            text, level = fields["message"], logging.getLevelNamesMapping()[fields["level"].upper()]
        if level >= logging.ERROR:
            self._last_words = text
        _log.log(level, "[%s] %s", place, text)


def paths_for(shm_directory: str | Path) -> InstancePaths:
    """Return the place of a new instance; raise InstanceError where none can be started."""
    if getattr(sys, "frozen", False):  # sys.executable is the user's program: it would run anew
        raise InstanceError(
            "KiteTicker starts its pipeline with a Python, and a frozen program has none: run "
            "`python -m pipeline run -c FILE` beside it, and use KiteTicker(..., instance=NAME)"
        )
    return InstancePaths(take_name(), Path(shm_directory))
