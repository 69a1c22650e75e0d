"""When a broker's REST may be called next: per second, per minute, per day. Floor 2; pure.

Calls of a class and scope (an API key, or a user with all his keys) share a lane. A lane gives its
turns in the order they were asked for:

    reserve ──▶ waiting ──start──▶ going ──finish──▶ counted for a minute, and for the day
       └──▶ Refusal                  └── limited (a 429): nobody goes until the window has cleared

A second's limit of n is a bucket of n tokens; a token comes back a second after the *answer* to
the call that took it. The broker has counted that call by then, so whatever the network does to
the times between, it never sees more than n in any second. Minutes likewise; a day's count begins
anew at `day_starts` in India. How long ago that was the wall clock says, and how many calls there
were since then the other one; and for a day after the wall clock was set the longer of what it
said before and says now. So that, set there and back, it forgets no call. Time is passed in:
nothing here waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.core.rates import Endpoint, EndpointLimit, RestLimits, Scope

SECOND_NS: Final = NS_PER_S
MINUTE_NS: Final = 60 * NS_PER_S
DAY_NS: Final = 86_400 * NS_PER_S
#: After 429 without a word how long: this, doubled by each further one up to a whole minute.
CLOSED_NS_MIN: Final = SECOND_NS
CLOSED_NS_MAX: Final = MINUTE_NS
RETRY_AFTER_NS_MAX: Final = 3600 * NS_PER_S
#: The wall clock was set, or this machine slept, when it has gone so much farther than the other.
STEP_NS: Final = MINUTE_NS

_IST_OFFSET_NS: Final = (5 * 60 + 30) * MINUTE_NS
_PRUNE_AT: Final = 1024


class Now(NamedTuple):
    """One moment on both clocks; intervals are measured on the first, days on the second."""

    mono_ns: int
    ts_ns: int


@dataclass(eq=False, slots=True)
class Turn:
    """A place in a lane. `wait_ns` is the time until it may go, as far as is known when asked."""

    endpoint: Endpoint
    lane: Lane = field(repr=False)
    asked_ns: int
    due_ns: int
    wait_ns: int
    held_up: bool = False


class Refusal(NamedTuple):
    """No turn: it would come in `wait_ns`, which is too long; `window` says what is full."""

    endpoint: Endpoint
    wait_ns: int
    window: str  # second, minute, day, or closed: the broker said 429


@dataclass(slots=True)
class _Clock:
    """A setting of the wall clock: how far ahead of the monotonic one, and when it was last so."""

    ahead_ns: int
    seen_ns: int = 0


@dataclass(slots=True)
class Lane:
    """The calls of one class and scope: waiting, under way, and when each answer came.

    `begun_ns`: when each call of the last 24 hours went out.
    """

    waiting: deque[Turn] = field(default_factory=deque)
    going: int = 0
    answered_ns: list[int] = field(default_factory=list)
    closed_until_ns: int = 0
    rejections: int = 0  # 429s in a row
    begun_ns: list[int] = field(default_factory=list)

    def count(self, window_ns: int, now_ns: int) -> int:
        """Return how many calls the broker may have seen in a window that ends now."""
        return (
            self.going + len(self.answered_ns) - bisect_right(self.answered_ns, now_ns - window_ns)
        )

    def begun_since(self, then_ns: int) -> int:
        """Return how many calls have gone out since then."""
        return len(self.begun_ns) - bisect_right(self.begun_ns, then_ns)

    def room_ns(self, limit: int, window_ns: int, ahead: int, now_ns: int) -> int:
        """Return when a window has room for the call that has `ahead` others waiting before it.

        A call under way holds its token for a window from now on at least.
        """
        first = bisect_right(self.answered_ns, now_ns - window_ns)
        answered = len(self.answered_ns) - first
        leaving = answered + self.going + ahead - limit
        if leaving < 0:
            return now_ns
        if leaving < answered:
            return self.answered_ns[first + leaving] + window_ns
        if leaving < answered + self.going:
            return now_ns + window_ns
        return max(now_ns, self.waiting[leaving - answered - self.going].due_ns) + window_ns

    def prune(self, now_ns: int) -> None:
        """Forget what no window reaches."""
        for times_ns, window_ns in ((self.answered_ns, MINUTE_NS), (self.begun_ns, DAY_NS)):
            if len(times_ns) >= _PRUNE_AT and times_ns[0] <= now_ns - window_ns:
                del times_ns[: bisect_right(times_ns, now_ns - window_ns)]


class RateLimiter:
    """All lanes. Whoever reserves must `start` until it may go, or `give_up`.

    What has gone ends in `finish` or, after a 429, in `limited`.
    """

    def __init__(self, limits: RestLimits) -> None:
        self._limits = limits
        self._lanes: dict[tuple[Endpoint, Scope, str], Lane] = {}
        self._requests = 0
        self._held_up = 0
        self._waited_ns = 0
        self._clocks: list[_Clock] = []  # the wall clock as it was set, the last one as it is

    @property
    def limits(self) -> RestLimits:
        """The limits in force."""
        return self._limits

    def replace(self, limits: RestLimits) -> None:
        """Take other limits from now on; what has been counted stays counted."""
        self._limits = limits

    def reserve(self, endpoint: Endpoint, *, key: str, user: str, now: Now) -> Turn | Refusal:
        """Return a turn, or a Refusal if it would come later than `wait_s_max` from now."""
        self._requests += 1
        lane, limit = self._lane(endpoint, key, user)
        due_ns, window = self._due(lane, limit, len(lane.waiting), now)
        wait_ns = due_ns - now.mono_ns
        if wait_ns > self._longest_ns:
            self._held_up += 1
            return Refusal(endpoint, wait_ns, window)
        turn = Turn(endpoint, lane, now.mono_ns, due_ns, wait_ns)
        lane.waiting.append(turn)
        return turn

    def start(self, turn: Turn, now: Now) -> int | Refusal:
        """Return 0 when the call may go now, else the nanoseconds until it is to be asked again.

        After a Refusal (others took longer than they promised) the turn is gone.
        """
        lane, limit = turn.lane, self._limits.endpoints[turn.endpoint]
        turn.due_ns, window = self._due(lane, limit, lane.waiting.index(turn), now)
        wait_ns = turn.due_ns - now.mono_ns
        if wait_ns > 0:
            self._hold_up(turn)
            if turn.due_ns - turn.asked_ns <= self._longest_ns:
                return wait_ns
            self.give_up(turn, now)
            return Refusal(turn.endpoint, wait_ns, window)
        lane.waiting.remove(turn)
        lane.going += 1
        lane.begun_ns.append(now.mono_ns)
        self._waited_ns += now.mono_ns - turn.asked_ns if turn.held_up else 0
        return 0

    def finish(self, turn: Turn, now: Now) -> None:
        """Count the answer of a call that has gone."""
        turn.lane.rejections = 0
        self._answered(turn.lane, now)

    def limited(self, turn: Turn, now: Now, *, retry_after_ns: int | None = None) -> int:
        """Count a 429 and close the lane, as long as the broker asks; return how long.

        Unasked it is a second, then 2, 4 ... 60 with each further 429 in a row: a full second's
        window clears at once, a minute's or somebody else's use of the key takes longer.
        """
        lane = turn.lane
        if now.mono_ns >= lane.closed_until_ns:  # else it was under way with one that knows already
            lane.rejections += 1
        pause_ns = min(CLOSED_NS_MIN << min(max(lane.rejections - 1, 0), 16), CLOSED_NS_MAX)
        if retry_after_ns is not None:
            pause_ns = min(max(retry_after_ns, CLOSED_NS_MIN), RETRY_AFTER_NS_MAX)
        lane.closed_until_ns = max(lane.closed_until_ns, now.mono_ns + pause_ns)
        self._answered(lane, now)
        return lane.closed_until_ns - now.mono_ns

    def give_up(self, turn: Turn, now: Now) -> None:
        """Leave the lane without having gone; nothing happens when a Refusal has taken it out."""
        if turn not in turn.lane.waiting:
            return
        turn.lane.waiting.remove(turn)
        self._waited_ns += now.mono_ns - turn.asked_ns if turn.held_up else 0

    def stats(self, now: Now) -> dict[str, Any]:
        """Return the counters; of several keys in a class the one nearest to its limits counts."""
        seconds = self._waited_ns / NS_PER_S
        return {
            "total_requests": self._requests,
            "total_wait_time_seconds": round(seconds, 3),
            "rate_limited_count": self._held_up,
            "avg_wait_time_ms": round(seconds * 1000 / max(1, self._requests), 3),
            "endpoints": {str(e): self._endpoint_stats(e, now) for e in self._limits.endpoints},
        }

    def config(self) -> dict[str, Any]:
        """Return the limits in force; None where a class has no such limit."""
        return {
            "documentation_url": self._limits.documentation_url,
            "limits": {
                str(endpoint): {
                    "requests_per_second": limit.requests_per_second,
                    "requests_per_minute": limit.requests_per_minute,
                    "requests_per_day": limit.requests_per_day,
                }
                for endpoint, limit in self._limits.endpoints.items()
            },
        }

    def _endpoint_stats(self, endpoint: Endpoint, now: Now) -> dict[str, int | None]:
        lanes = [lane for (of, *_), lane in self._lanes.items() if of is endpoint]
        limit, began_ns = self._limits.endpoints[endpoint], self._day_began_ns(now)
        return {
            "requests_last_minute": max(
                (lane.count(MINUTE_NS, now.mono_ns) for lane in lanes), default=0
            ),
            "minute_limit": limit.requests_per_minute,
            "requests_today": max((lane.begun_since(began_ns) for lane in lanes), default=0),
            "daily_limit": limit.requests_per_day,
        }

    def _answered(self, lane: Lane, now: Now) -> None:
        lane.going -= 1
        lane.prune(now.mono_ns)
        lane.answered_ns.append(now.mono_ns)

    def _hold_up(self, turn: Turn) -> None:
        if not turn.held_up:
            turn.held_up = True
            self._held_up += 1

    def _lane(self, endpoint: Endpoint, key: str, user: str) -> tuple[Lane, EndpointLimit]:
        limit = self._limits.endpoints[endpoint]
        name = (endpoint, limit.scope, key if limit.scope is Scope.KEY else user)
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane()
        return lane, limit

    def _due(self, lane: Lane, limit: EndpointLimit, ahead: int, now: Now) -> tuple[int, str]:
        due_ns, window = now.mono_ns, "second"
        for room_ns, name in self._bounds(lane, limit, ahead, now):
            if room_ns > due_ns:
                due_ns, window = room_ns, name
        return due_ns, window

    def _bounds(
        self, lane: Lane, limit: EndpointLimit, ahead: int, now: Now
    ) -> list[tuple[int, str]]:
        now_ns = now.mono_ns
        second_ns = lane.room_ns(limit.requests_per_second, SECOND_NS, ahead, now_ns)
        bounds = [(second_ns, "second"), (lane.closed_until_ns, "closed")]
        if limit.requests_per_minute is not None:
            minute_ns = lane.room_ns(limit.requests_per_minute, MINUTE_NS, ahead, now_ns)
            bounds.append((minute_ns, "minute"))
        per_day = limit.requests_per_day
        if per_day is not None:
            over = lane.begun_since(self._day_began_ns(now)) + ahead >= per_day
            if over:
                bounds.append((now_ns + self._day_left_ns(now), "day"))
        return bounds

    @property
    def _longest_ns(self) -> int:
        return int(self._limits.wait_s_max * NS_PER_S)

    def _days_ns(self, now: Now) -> list[int]:
        """Return for how long the day lasts already, by each setting of the wall clock."""
        clocks = self._clocks
        ahead_ns = now.ts_ns - now.mono_ns
        if not clocks or abs(clocks[-1].ahead_ns - ahead_ns) > STEP_NS:
            clocks.append(_Clock(ahead_ns))
        clocks[-1].ahead_ns, clocks[-1].seen_ns = ahead_ns, now.mono_ns
        while now.mono_ns - clocks[0].seen_ns >= DAY_NS:
            del clocks[0]
        starts = self._limits.day_starts
        zero_ns = (starts.hour * 60 + starts.minute) * MINUTE_NS + starts.second * SECOND_NS
        local_ns = now.mono_ns + _IST_OFFSET_NS - zero_ns
        return [(local_ns + clock.ahead_ns) % DAY_NS for clock in clocks]

    def _day_began_ns(self, now: Now) -> int:
        """Return when the day began, on the monotonic clock; a call at that moment is of it."""
        return now.mono_ns - max(self._days_ns(now)) - 1

    def _day_left_ns(self, now: Now) -> int:
        return DAY_NS - min(self._days_ns(now))
