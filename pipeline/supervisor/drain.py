"""The steps of an orderly end. Floor 5; pure, time is passed in, no step waits.

The control process ends first, so that nothing is planned any more, then the feeds; the decoders
have time to bring out what the feeds received, then they end, then the hosted strategies, which
were handed all of it, and the gateway, then the simulated exchange. Who does not end in time is
killed.
"""

from __future__ import annotations

from enum import IntEnum
from signal import SIGKILL, SIGTERM, Signals
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_MS
from pipeline.core.enums import Role

#: What a process with nothing left to do may take for its end.
EXIT_ALLOWANCE_NS: Final = 750 * NS_PER_MS


class Stage(IntEnum):
    """How far the end has come."""

    CONTROL = 0
    FEEDS = 1
    CATCH_UP = 2
    DECODERS = 3
    STRATEGIES = 4
    GATEWAY = 5
    SIMULATOR = 6
    DONE = 7


_STOPPED_IN: Final = {
    Stage.CONTROL: Role.CONTROL,
    Stage.FEEDS: Role.FEED,
    Stage.DECODERS: Role.DECODER,
    Stage.STRATEGIES: Role.STRATEGY,
    Stage.GATEWAY: Role.GATEWAY,
    Stage.SIMULATOR: Role.SIMULATOR,
}


class Order(NamedTuple):
    """A signal for every process of a role."""

    role: Role
    number: Signals


class Drain:
    """Walks through the stages; `step` says what to do now.

    `strategy_ns`: what user code may take for its end.
    """

    def __init__(self, now_ns: int, *, timeout_ns: int, strategy_ns: int = 0) -> None:
        self.stage = Stage.CONTROL
        self._timeout_ns = timeout_ns
        self._strategy_ns = strategy_ns
        self._catch_up_until_ns = now_ns + timeout_ns
        self._kill_at_ns = now_ns + min(EXIT_ALLOWANCE_NS, timeout_ns)
        self._asked = False
        self._killed = False

    def restarts(self, role: Role) -> bool:
        """Whether a process of this role that dies now still gets a successor."""
        return role is Role.DECODER and self.stage < Stage.DECODERS

    def step(self, now_ns: int, *, alive: frozenset[Role], caught_up: bool) -> list[Order]:
        """Return the signals to send; call again at each turn until the stage is DONE."""
        orders: list[Order] = []
        while self.stage is not Stage.DONE and self._finished(now_ns, alive, caught_up):
            self._enter(Stage(self.stage + 1), now_ns)
        role = _STOPPED_IN.get(self.stage)
        if role is None:
            return orders
        if not self._asked:
            self._asked = True
            orders.append(Order(role, SIGTERM))
        if now_ns >= self._kill_at_ns and not self._killed:
            self._killed = True
            orders.append(Order(role, SIGKILL))
        return orders

    def _finished(self, now_ns: int, alive: frozenset[Role], caught_up: bool) -> bool:
        if self.stage is Stage.CATCH_UP:
            return caught_up or now_ns >= self._catch_up_until_ns
        return _STOPPED_IN[self.stage] not in alive

    def _enter(self, stage: Stage, now_ns: int) -> None:
        self.stage = stage
        allowance_ns = min(EXIT_ALLOWANCE_NS, self._timeout_ns)
        self._kill_at_ns = now_ns + (
            self._strategy_ns if stage is Stage.STRATEGIES else allowance_ns
        )
        if stage is Stage.FEEDS:
            self._kill_at_ns = self._catch_up_until_ns
        self._asked = False
        self._killed = False
