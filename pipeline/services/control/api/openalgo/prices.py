"""The newest ticks of an owner's instruments, also of those that nobody has subscribed to. Floor 4.

What is not streamed in full is wanted from the pool for a while, and the first tick is waited for:
the broker sends one at once. The demand goes by itself when nobody asks again. Only connections of
the owner's accounts are looked at. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.control import Answer, AnyRequest, Subscribe, Unsubscribe
from pipeline.core.enums import Mode
from pipeline.shm.names import InstancePaths
from pipeline.strategy.latest import OwnersLatest

#: A first tick is waited for so long; what was asked for stays wanted so long.
WAIT_S: Final = 2.0
LINGER_S: Final = 30.0
#: It is looked for again after the first pause, then ever less often.
_LOOK_AGAIN_S: Final = 0.01
_LOOK_AGAIN_S_MAX: Final = 0.1
#: So many requests may wait at a time; more are answered with what there is.
_WAITING_MAX: Final = 16

Ticks = np.ndarray[Any, Any]
#: Changes what is wanted for an owner: (owner, request) -> answer.
Ask = Callable[[str, AnyRequest], Answer]


class Found(NamedTuple):
    """The newest tick of each token asked for, zero where there is none, and who was refused."""

    ticks: Ticks
    refused: Mapping[int, str]


class Prices:
    """The ticks of one instance, by owner."""

    def __init__(
        self, paths: InstancePaths, ask: Ask, *, wait_s: float = WAIT_S, linger_s: float = LINGER_S
    ) -> None:
        self._latest = OwnersLatest(paths)
        self._ask = ask
        self._wait_s = wait_s
        self._linger_s = linger_s
        self._wanted: dict[str, dict[int, int]] = {}  # owner -> token -> until when
        self._timed: set[str] = set()  # owners whose demand will be looked at again
        self._waiting = 0

    def newest(self, owner: str, tokens: Sequence[int]) -> Ticks:
        """Return the newest tick of each token that an owner's connections brought, now."""
        return self._latest.read(owner, tokens)

    async def read(self, owner: str, tokens: Sequence[int]) -> Found:
        """Return full ticks, waiting for those that were not streamed; lower ones if none come."""
        lacking = _without(tokens, self.newest(owner, tokens))
        refused = self._want(owner, lacking)
        waited_for = [token for token in lacking if token not in refused]
        if waited_for and self._waiting < _WAITING_MAX:
            self._waiting += 1
            try:
                await self._wait(owner, waited_for)
            finally:
                self._waiting -= 1
        return Found(self.newest(owner, tokens), refused)

    async def _wait(self, owner: str, tokens: list[int]) -> None:
        until_ns = monotonic_ns() + round(self._wait_s * NS_PER_S)
        pause_s = _LOOK_AGAIN_S
        while tokens and monotonic_ns() < until_ns:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LOOK_AGAIN_S_MAX)
            tokens = _without(tokens, self.newest(owner, tokens))

    # ---- demand -----------------------------------------------------------------------------

    def _want(self, owner: str, tokens: Iterable[int]) -> dict[int, str]:
        """Want these in full for a while; return who was refused, and why."""
        wanted = self._wanted.setdefault(owner, {})
        tokens = list(dict.fromkeys(tokens))
        more = [token for token in tokens if token not in wanted]
        refused = self._subscribe(owner, more) if more else {}
        until_ns = monotonic_ns() + round(self._linger_s * NS_PER_S)
        wanted.update((token, until_ns) for token in tokens if token not in refused)
        self._look_again(owner)
        return refused

    def _look_again(self, owner: str) -> None:
        if self._wanted[owner] and owner not in self._timed:
            self._timed.add(owner)
            asyncio.get_running_loop().call_later(self._linger_s, self._let_go, owner)

    def _subscribe(self, owner: str, tokens: list[int]) -> dict[int, str]:
        answer = self._ask(owner, Subscribe(instruments=list(tokens), mode="full", partial=True))
        if answer.problem is not None:
            return dict.fromkeys(tokens, answer.problem.text)
        return {row["instrument"]: row["text"] for row in answer.result["refused"]}

    def _let_go(self, owner: str) -> None:
        """Want no longer what nobody has asked for since, and look again for what is left."""
        self._timed.discard(owner)
        wanted, now_ns = self._wanted[owner], monotonic_ns()
        gone = [token for token, until_ns in wanted.items() if until_ns <= now_ns]
        if gone:
            self._ask(owner, Unsubscribe(instruments=list(gone)))
            for token in gone:
                del wanted[token]
        self._look_again(owner)


def _without(tokens: Sequence[int], ticks: Ticks) -> list[int]:
    """Return the tokens whose tick is none, or of a lower mode than full."""
    full = ticks["mode"] >= Mode.FULL
    return [token for token, is_full in zip(tokens, full.tolist(), strict=True) if not is_full]
