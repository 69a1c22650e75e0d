"""What the clients of each owner want of the pool: the highest mode of each instrument. Floor 4.

An instrument that nobody has any more stays wanted for a while, and so does a mode that is higher
than needed: clients reconnect, and pages close their socket with each tab that is hidden. Asking
the pool takes its time and happens in a thread for each owner; the event loop is never kept.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from pipeline.core.control import Subscribe
from pipeline.core.enums import Mode
from pipeline.core.errors import PipelineError
from pipeline.shm.names import InstancePaths
from pipeline.strategy.demand import DemandKeeper, SubscribeResult

WORDS: Final = {int(Mode.LTP): "ltp", int(Mode.QUOTE): "quote", int(Mode.FULL): "full"}
#: Wishes that come together are asked for together.
_GATHER_S: Final = 0.02
#: After a refusal or while the control process is away.
_AGAIN_S: Final = 5.0
#: As many as are asked for at once: an answer names no more refused ones than these.
_ASKED_MAX: Final = 1000
#: What is under way at the end is not waited for: the pool's grace covers it.
_JOIN_S: Final = 0.2

_log = logging.getLogger(__name__)


class Wishes:
    """The modes to be had, {token: mode}, of one owner's clients; pure, time is passed in."""

    def __init__(self, linger_ns: int) -> None:
        self.wanted: dict[int, int] = {}
        self._linger_ns = linger_ns
        self._lower: dict[int, int] = {}  # token -> when to look again

    def want(self, token: int, mode: int) -> bool:
        """Want at least that mode; return whether that is news."""
        if mode >= self.wanted.get(token, 0):
            self._lower.pop(token, None)
        if mode <= self.wanted.get(token, 0):
            return False
        self.wanted[token] = mode
        return True

    def release(self, token: int, mode: int, now_ns: int) -> None:
        """Note that a lower mode, or with 0 none at all, would do from now on."""
        if mode < self.wanted.get(token, 0):
            self._lower[token] = now_ns + self._linger_ns

    def settle(self, now_ns: int, mode_of: Callable[[int], int]) -> bool:
        """Come down to what is had where the time is over; return whether that is news."""
        due = [token for token, at_ns in self._lower.items() if at_ns <= now_ns]
        for token in due:
            del self._lower[token]
            mode = mode_of(token)
            if mode:
                self.wanted[token] = mode
            else:
                self.wanted.pop(token, None)
        return bool(due)


class Pool(Protocol):
    """What is asked; `DemandKeeper` is one."""

    def subscribe(self, request: Subscribe) -> SubscribeResult:
        """Want more, or in another mode."""

    def unsubscribe(self, instruments: list[int | str]) -> int:
        """Want these no longer."""

    def close(self) -> None:
        """Ask no more."""


class Asker:
    """Has the pool want what is wished, in a thread of its own, again and again until it does.

    pool: makes what is asked, in that thread. refused: told how many were not accepted. tell: told
    which have no place now, {token: why}, whenever they are others than before; in that thread.
    """

    def __init__(
        self, owner: str, pool: Callable[[], Pool], refused: Callable[[int], object],
        *, tell: Callable[[dict[int, str]], object] = lambda without: None,
    ) -> None:  # fmt: skip
        self._owner = owner
        self._make_pool = pool
        self._refused = refused
        self._tell = tell
        self._news = threading.Condition()
        self._wishes: dict[int, int] = {}
        self._dirty = False
        self._closed = False
        self._without: dict[int, str] = {}  # refused, and counted as such: why
        self._thread = threading.Thread(target=self._run, name=f"demand-{owner}", daemon=True)
        self._thread.start()

    def ask(self, wishes: Mapping[int, int]) -> None:
        """Have exactly these wanted; returns at once."""
        with self._news:
            self._wishes = dict(wishes)
            self._dirty = True
            self._news.notify()

    def close(self) -> None:
        """Ask no more; what was wanted lives on for the pool's grace."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        pool = self._make_pool()
        asked: dict[int, int] = {}
        told: dict[int, str] = {}
        pause_s = None
        while True:
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._closed, pause_s)
                if not self._closed:
                    self._news.wait_for(lambda: self._closed, _GATHER_S)
                if self._closed:
                    break
                self._dirty = False
                wishes = self._wishes
            pause_s = None if self._bring(pool, asked, wishes) else _AGAIN_S
            if self._without.keys() != told.keys():
                told = dict(self._without)
                self._tell(dict(told))
        pool.close()

    def _bring(self, pool: Pool, asked: dict[int, int], wishes: dict[int, int]) -> bool:
        """Ask for the difference; return whether all of it is had now."""
        self._without = {token: why for token, why in self._without.items() if token in wishes}
        try:
            gone: list[int | str] = [token for token in asked if token not in wishes]
            if gone:
                pool.unsubscribe(gone)
                for token in gone:
                    del asked[int(token)]
            return all([self._raise(pool, asked, wishes, mode) for mode in WORDS])
        except PipelineError as error:
            _log.warning(f"the pool does not take what clients of {self._owner} want: {error}")
            return False

    def _raise(self, pool: Pool, asked: dict[int, int], wishes: dict[int, int], mode: int) -> bool:
        more = [t for t, wanted in wishes.items() if wanted == mode and asked.get(t) != mode]
        parts = [more[start : start + _ASKED_MAX] for start in range(0, len(more), _ASKED_MAX)]
        return all([self._raise_part(pool, asked, part, mode) for part in parts])

    def _raise_part(self, pool: Pool, asked: dict[int, int], more: list[int], mode: int) -> bool:
        result = pool.subscribe(Subscribe(instruments=list(more), mode=WORDS[mode], partial=True))
        refused = {int(refusal.instrument): refusal.text for refusal in result.refused}
        asked.update((token, mode) for token in more if token not in refused)
        self._refused(len(refused.keys() - self._without.keys()))
        for token in more:
            self._without.pop(token, None)
        self._without |= refused
        if refused:
            _log.warning(
                f"{len(refused)} of {len(more)} instruments that clients of {self._owner} want "
                f"have no place, first of all {result.refused[0].instrument}: "
                f"{result.refused[0].text}"
            )
        return not refused


class Demand:
    """The wishes of all owners, brought to the pool of an instance.

    refused, tell: as an `Asker` calls them, in its thread; `tell` has the owner first.
    """

    def __init__(
        self, paths: InstancePaths, *, linger_ns: int, mode_of: Callable[[str, int], int],
        refused: Callable[[int], object],
        tell: Callable[[str, dict[int, str]], object] = lambda owner, without: None,
    ) -> None:  # fmt: skip
        self._paths = paths
        self._linger_ns = linger_ns
        self._mode_of = mode_of
        self._refused = refused
        self._tell = tell
        self._wishes: dict[str, Wishes] = {}
        self._askers: dict[str, Asker] = {}
        self._news: set[str] = set()

    def __len__(self) -> int:
        """How many instruments are wanted."""
        return sum(len(wishes.wanted) for wishes in self._wishes.values())

    def want(self, owner: str, token: int, mode: int) -> None:
        """Want at least that mode."""
        wishes = self._wishes.setdefault(owner, Wishes(self._linger_ns))
        if wishes.want(token, mode):
            self._news.add(owner)

    def release(self, owner: str, token: int, now_ns: int) -> None:
        """Look, when the time is over, whether a lower mode or none at all would do."""
        self._wishes[owner].release(token, self._mode_of(owner, token), now_ns)

    def settle(self, now_ns: int) -> None:
        """Let go of what lingered for long enough, and ask for what is new."""
        for owner, wishes in self._wishes.items():
            if wishes.settle(now_ns, partial(self._mode_of, owner)):
                self._news.add(owner)
        for owner in self._news:
            self._ask(owner)
        self._news.clear()

    def close(self) -> None:
        """Ask for no more."""
        for asker in self._askers.values():
            asker.close()

    def _ask(self, owner: str) -> None:
        asker = self._askers.get(owner)
        if asker is None:
            asker = Asker(
                owner, lambda: self._keeper(owner), self._refused, tell=partial(self._tell, owner)
            )
            self._askers[owner] = asker
        asker.ask(self._wishes[owner].wanted)

    def _keeper(self, owner: str) -> Pool:
        """A client that no other process has: its predecessor's wishes end by their grace."""
        client = f"gateway-{owner}.{os.getpid()}"
        return DemandKeeper(self._paths.control_socket, client=client, owner=owner)
