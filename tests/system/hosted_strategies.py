"""Strategies that behave, and strategies that do what they should not; hosted by the tests.

Beside the config, `<name>.log` gets what each was handed, and `<name>.pids` its processes.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

import pipeline


class Recorder:
    """Writes down, before anything else, what it is given: `ticks CONNECTION FIRST LAST` rows."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = Path(folder), name
        self.log = os.open(
            self.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        self.note_pid(os.getpid())

    def note_pid(self, pid: int) -> None:
        with (self.folder / f"{self.name}.pids").open("a") as file:
            file.write(f"{pid}\n")

    def say(self, *words: object) -> None:
        os.write(self.log, (" ".join(map(str, words)) + "\n").encode())

    def on_start(self, market: object) -> None:
        self.market = market
        self.say("start", os.getpid())
        self.misbehave("on_start")

    def on_ticks(self, ticks: np.ndarray) -> None:
        for connection in np.unique(ticks["connection"]):
            mine = ticks["sequence"][ticks["connection"] == connection]
            assert np.all(np.diff(mine) == 1)
            self.say("ticks", connection, mine[0], mine[-1])
        self.misbehave("on_ticks")

    def on_event(self, event: object) -> None:
        match event:
            case pipeline.Restart():
                self.say("restart", event.restarts, event.exit_code, event.reason.name)
            case pipeline.Overrun():
                self.say("overrun", event.connection, event.first_sequence, event.lost)
        self.misbehave("on_event")

    def on_stop(self) -> None:
        self.say("stop")
        self.misbehave("on_stop")

    def misbehave(self, where: str) -> None:
        """Do nothing that a strategy should not."""


class RaisesOnce(Recorder):
    """Raises a few times, at its 3rd batch each, and is good from then on."""

    def __init__(self, folder: str, name: str, lives: int) -> None:
        super().__init__(folder, name)
        self.lives = lives
        self.batches = 0

    def misbehave(self, where: str) -> None:
        self.batches += where == "on_ticks"
        pids = (self.folder / f"{self.name}.pids").read_text().split()
        if self.batches == 3 and len(pids) <= self.lives:
            raise ValueError("a fault of the user")


class Bad(Recorder):
    """Does one bad thing at one place; `what` is the name of a method below."""

    def __init__(self, folder: str, name: str, what: str, where: str = "on_ticks") -> None:
        super().__init__(folder, name)
        self.what, self.where = what, where
        self.misbehave("__init__")

    def misbehave(self, where: str) -> None:
        if where == self.where:
            getattr(self, self.what)()

    def raises(self) -> None:
        raise RuntimeError("on purpose " + "and at length " * 1000)

    def exits(self) -> None:
        sys.exit(3)

    def leaves(self) -> None:
        os._exit(4)

    def is_done(self) -> None:
        sys.exit()

    def stops(self) -> None:
        self.market.stop()

    def logs(self) -> None:
        logging.getLogger(__name__).info("a word of its own")
        for number in range(20_000):
            logging.warning("no end of it %d", number)
        self.what = "nothing"

    def crashes(self) -> None:
        ctypes.string_at(0)

    def blocks(self) -> None:
        time.sleep(3600)

    def blocks_a_minute(self) -> None:
        time.sleep(60)

    def spins(self) -> None:
        os.nice(19)  # others have something to do
        while True:
            pass

    def is_stubborn(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)

    def forks(self) -> None:
        """Leave children behind: a fork, a program, and one in a process group of its own."""
        if (pid := os.fork()) == 0:
            time.sleep(3600)
            os._exit(0)
        self.note_pid(pid)
        for group in (None, 0):
            child = subprocess.Popen(
                [sys.executable, "-c", "import os; os.nice(19)\nwhile True: pass"],
                process_group=group,
            )
            self.note_pid(child.pid)
        raise RuntimeError("and died")

    def fork_comes_back(self) -> None:
        """Let the child run into the loop of its parent, which is not its own."""
        if (pid := os.fork()) != 0:
            self.note_pid(pid)
            self.what = "nothing"

    def nothing(self) -> None:
        """Behave from now on."""

    def threads(self) -> None:
        for _ in range(20):
            threading.Thread(target=time.sleep, args=(3600,)).start()
        raise RuntimeError("with threads that do not end")

    def prints(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.write("no end of it " * 80_000)
            for number in range(20_000):
                print(f"{number} " + "x" * 50, file=stream)
        self.what = "nothing"

    def closes(self) -> None:
        os.closerange(0, 1024)
        self.what = "nothing"
        self.misbehave = lambda where: None  # type: ignore[method-assign]
        self.say = lambda *words: None  # type: ignore[method-assign]
