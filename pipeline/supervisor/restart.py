"""When a dead process gets its successor: back-off and circuit breaker. Floor 5; pure.

Time is passed in. A death counts when it was the process's own fault, or the third in a row
without a commit; a process that was killed from outside otherwise starts again at once.
"""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import SupervisorConfig
from pipeline.core.enums import Reason

BARREN_DEATHS_MAX: Final = 3

_OWN_FAULT_SIGNALS: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
)


class Cause(Enum):
    """How a process came to its end."""

    EXITED = Reason.PROCESS_EXITED  # an exit code, or a signal that only a fault of its own sends
    KILLED = Reason.PROCESS_KILLED  # from outside
    HUNG = Reason.PROCESS_HUNG  # no heartbeat, killed by us

    @property
    def own_fault(self) -> bool:
        """Whether the process itself is to blame."""
        return self is not Cause.KILLED


def classify(exit_code: int, *, killed_as_hung: bool) -> Cause:
    """Return the cause of a death; `exit_code` is minus the signal, as subprocess has it."""
    if exit_code >= 0 or -exit_code in _OWN_FAULT_SIGNALS:
        return Cause.EXITED
    return Cause.HUNG if killed_as_hung else Cause.KILLED


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """The numbers of `[supervisor]`, in nanoseconds."""

    backoff_ns: tuple[int, ...]
    circuit_deaths: int
    circuit_window_ns: int
    circuit_retry_ns: int

    @classmethod
    def of(cls, config: SupervisorConfig) -> RestartPolicy:
        """Return the policy of a checked config."""
        return cls(
            backoff_ns=tuple(round(pause * NS_PER_S) for pause in config.restart_backoff_s),
            circuit_deaths=config.circuit_deaths,
            circuit_window_ns=round(config.circuit_window_s * NS_PER_S),
            circuit_retry_ns=round(config.circuit_retry_s * NS_PER_S),
        )


class Verdict(NamedTuple):
    """What follows from a death: the successor's start, and whether the circuit opened just now."""

    start_mono_ns: int
    counted: bool
    circuit_opened: bool


class RestartRecord:
    """The deaths of one role, and what they mean for its next process.

    The back-off goes one step further with each death that counts, and begins again after a life
    as long as the circuit's window; such a life also closes an open circuit.
    """

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._counted: deque[int] = deque(maxlen=policy.circuit_deaths)
        self._level = 0
        self._barren = 0
        self.circuit_open = False

    @property
    def deaths_in_a_row(self) -> int:
        """Deaths that counted since the last long life."""
        return self._level

    def note_life(self, lived_ns: int) -> bool:
        """Take note that the present process has lived so long; return whether that mended it."""
        if lived_ns < self._policy.circuit_window_ns or not self._level:
            return False
        self._counted.clear()
        self._level = 0
        self.circuit_open = False
        return True

    def note_death(
        self, now_ns: int, *, cause: Cause, committed: bool, hopeless: bool = False
    ) -> Verdict:
        """Return when to start the successor.

        `committed`: the dead one got some work done. `hopeless`: the next one would fail the same
        way, so the circuit opens at once.
        """
        self._barren = 0 if committed else self._barren + 1
        if not cause.own_fault and self._barren < BARREN_DEATHS_MAX:
            return Verdict(now_ns, counted=False, circuit_opened=False)
        self._counted.append(now_ns)
        pause_ns = self._policy.backoff_ns[min(self._level, len(self._policy.backoff_ns) - 1)]
        self._level += 1
        was_open, self.circuit_open = (
            self.circuit_open,
            (self.circuit_open or hopeless or self._burst(now_ns)),
        )
        if self.circuit_open:
            pause_ns = self._policy.circuit_retry_ns
        return Verdict(
            now_ns + pause_ns, counted=True, circuit_opened=self.circuit_open and not was_open
        )

    def _burst(self, now_ns: int) -> bool:
        full = len(self._counted) == self._policy.circuit_deaths
        return full and now_ns - self._counted[0] <= self._policy.circuit_window_ns
