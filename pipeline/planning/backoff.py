"""How long a feed waits before its next handshake, and what it waits for. Floor 2; pure.

Full jitter: the pause is drawn between nothing and a bound that doubles with each failure, so
that connections which dropped together do not come back together. `draw` is a number in [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, State

CLOSE_SERVICE_RESTART: Final = 1012
CLOSE_TRY_AGAIN_LATER: Final = 1013

RESTART_PAUSE_S: Final = (1.0, 5.0)  # after 1012, drawn between the two
TRY_LATER_STEP: Final = 4  # after 1013, as if so many attempts had failed
LIMITED_PAUSE_S: Final = (30.0, 300.0)  # after 429 without Retry-After
RETRY_AFTER_S_MAX: Final = 3600.0

_STEP_MAX: Final = 40  # keeps 2 ** step within reason; the bound is reached long before


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffPolicy:
    """The bounds of `[feed]`: of the first pause, of any pause, and the health that resets."""

    min_ns: int
    max_ns: int
    reset_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a connection, or the attempt to open one, ended.

    `healthy_ns` is how long it was of use, 0 if it never was; `retry_after_s` what the server
    asked for, None if nothing.
    """

    reason: Reason
    close_code: int = 0
    http_status: int = 0
    retry_after_s: float | None = None
    healthy_ns: int = 0

    @property
    def detail(self) -> int:
        """The number that belongs to the reason: close code or HTTP status."""
        return self.close_code or self.http_status


class Pause(NamedTuple):
    """What follows an ending: a state, the time until the next attempt, and the next step.

    `shared` pauses hold for every connection of the API key.
    """

    state: State
    duration_ns: int
    next_step: int
    shared: bool = False


def plan_pause(policy: BackoffPolicy, ending: Ending, *, step: int, draw: float) -> Pause:
    """Return what to do after an ending; `step` counts the failures in a row before it.

    A rejected token is not waited out: its state is AUTH_EXPIRED, and another token ends it.
    """
    if ending.healthy_ns >= policy.reset_ns:
        step = 0
    if ending.reason is Reason.AUTH_REJECTED:
        return Pause(State.AUTH_EXPIRED, 0, step)
    if ending.reason is Reason.RATE_LIMITED:
        return Pause(State.LIMITED, _limited_ns(ending, draw), step + 1, shared=True)
    if ending.close_code == CLOSE_SERVICE_RESTART:
        return Pause(State.RECONNECTING, _between_ns(RESTART_PAUSE_S, draw), step + 1)
    if ending.close_code == CLOSE_TRY_AGAIN_LATER:
        step = max(step, TRY_LATER_STEP)
    duration_ns = max(jitter_ns(policy, step, draw), _asked_ns(ending))
    return Pause(State.RECONNECTING, duration_ns, step + 1)


def bound_ns(policy: BackoffPolicy, step: int) -> int:
    """Return the longest pause of a step: the first bound, doubled `step` times, up to the last."""
    return min(policy.max_ns, policy.min_ns << min(step, _STEP_MAX))


def jitter_ns(policy: BackoffPolicy, step: int, draw: float) -> int:
    """Return a pause between nothing and the step's bound."""
    return int(draw * bound_ns(policy, step))


def _limited_ns(ending: Ending, draw: float) -> int:
    if ending.retry_after_s is None:
        return _between_ns(LIMITED_PAUSE_S, draw)
    # A little later than asked, and not all connections of the key at once.
    return _asked_ns(ending) + int(draw * NS_PER_S)


def _asked_ns(ending: Ending) -> int:
    if ending.retry_after_s is None:
        return 0
    return int(min(max(ending.retry_after_s, 0.0), RETRY_AFTER_S_MAX) * NS_PER_S)


def _between_ns(bounds_s: tuple[float, float], draw: float) -> int:
    low_s, high_s = bounds_s
    return int((low_s + draw * (high_s - low_s)) * NS_PER_S)
