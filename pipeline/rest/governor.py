"""Who calls a broker's REST when: one object that all threads and tasks ask. Floor 3.

`pipeline.planning.rate_limits` decides; this file has the lock, the clocks and the waiting, and
looks now and then whether the file of limits has changed. One governor knows only its own
process: the control process owns the one of an instance.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipeline.core import logs
from pipeline.core.clock import NS_PER_S
from pipeline.core.errors import ConfigError, RateLimited
from pipeline.core.rates import Endpoint, RestLimits
from pipeline.planning.rate_limits import Now, RateLimiter, Refusal, Turn
from pipeline.rest.own_limits import read_limits

_log = logs.get_logger(__name__)

LOOK_INTERVAL_NS: Final = NS_PER_S

_WHY: Final = {
    "second": "the limit of a second is used up by those before it",
    "minute": "the limit of a minute is used up",
    "day": "the limit of the day is used up",
    "closed": "the broker has said 429",
}


class Governor:
    """The limits of a broker's REST, kept. `shipped` are its own; a file may replace some.

    Every method may be called from any thread. `clock` gives both clocks, `sleep` waits seconds.
    Raises ConfigError when the file cannot be used; once it could, a wrong one changes nothing.
    """

    def __init__(
        self,
        shipped: RestLimits,
        *,
        limits_file: Path | None = None,
        clock: Callable[[], Now] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shipped = shipped
        self._file = limits_file
        self._clock = clock or _now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._identity = _identity(limits_file)
        self._limiter = RateLimiter(self._read())
        self._looked_ns = self._clock().mono_ns
        self.problem = ""

    @property
    def limits(self) -> RestLimits:
        """The limits in force."""
        return self._limiter.limits

    def acquire(self, endpoint: Endpoint, *, key: str, user: str = "") -> Turn:
        """Wait for a turn, which `going` then ends; blocks up to `wait_s_max`.

        user: whose key it is; keys of nobody known count as one user's. Raises RateLimited when
        the turn would come too late.
        """
        turn = self._reserve(endpoint, key, user)
        try:
            while wait_ns := self._start(turn):
                self._sleep(wait_ns / NS_PER_S)
        except BaseException:
            self._give_up(turn)
            raise
        return turn

    async def acquire_async(self, endpoint: Endpoint, *, key: str, user: str = "") -> Turn:
        """Wait for a turn as `acquire` does, without a thread."""
        turn = self._reserve(endpoint, key, user)
        try:
            while wait_ns := self._start(turn):
                await asyncio.sleep(wait_ns / NS_PER_S)
        except BaseException:
            self._give_up(turn)
            raise
        return turn

    @contextmanager
    def going(self, turn: Turn) -> Iterator[None]:
        """Hold a turn while its call is made. A RateLimited that leaves closes the class."""
        try:
            yield
        except RateLimited as error:
            self._close(turn, error)
            raise
        except BaseException:
            self._finish(turn)
            raise
        self._finish(turn)

    def stats(self) -> dict[str, Any]:
        """Return counts and waits, as `GET /advanced/rate-limit/stats` has them."""
        with self._lock:
            return self._limiter.stats(self._clock())

    def config(self) -> dict[str, Any]:
        """Return the limits in force, as `GET /advanced/rate-limit/config` has them."""
        self._look(self._clock(), now=True)
        with self._lock:
            return self._limiter.config()

    def reload(self) -> RestLimits:
        """Read the file of limits again; ConfigError leaves what is in force."""
        identity = _identity(self._file)
        limits = self._read()
        with self._lock:
            self._identity, self.problem = identity, ""
            self._limiter.replace(limits)
        return limits

    # ---- one call

    def _reserve(self, endpoint: Endpoint, key: str, user: str) -> Turn:
        self._look(self._clock())
        with self._lock:
            turn = self._limiter.reserve(endpoint, key=key, user=user, now=self._clock())
        if isinstance(turn, Refusal):
            raise self._refused(turn)
        return turn

    def _start(self, turn: Turn) -> int:
        with self._lock:
            wait_ns = self._limiter.start(turn, self._clock())
        if isinstance(wait_ns, Refusal):
            raise self._refused(wait_ns)
        return wait_ns

    def _give_up(self, turn: Turn) -> None:
        with self._lock:
            self._limiter.give_up(turn, self._clock())

    def _finish(self, turn: Turn) -> None:
        with self._lock:
            self._limiter.finish(turn, self._clock())

    def _close(self, turn: Turn, error: RateLimited) -> None:
        asked_ns = int(error.retry_after_s * NS_PER_S) or None
        with self._lock:
            closed_ns = self._limiter.limited(turn, self._clock(), retry_after_ns=asked_ns)
        error.retry_after_s = closed_ns / NS_PER_S
        _log.warning("%s; no call of its class for %.0f s", error, error.retry_after_s)

    def _refused(self, refusal: Refusal) -> RateLimited:
        wait_s = refusal.wait_ns / NS_PER_S
        return RateLimited(
            f"{refusal.endpoint}: the turn of this call would come in {wait_s:.1f} s "
            f"({_WHY[refusal.window]}), and none waits over {self.limits.wait_s_max:g} s: "
            "call less often, or then",
            endpoint=refusal.endpoint,
            retry_after_s=wait_s,
        )

    # ---- the file

    def _look(self, moment: Now, *, now: bool = False) -> None:
        """Take over a changed file, looking at most once a second; a wrong one is told once."""
        with self._lock:
            if self._file is None or (
                not now and moment.mono_ns - self._looked_ns < LOOK_INTERVAL_NS
            ):
                return
            self._looked_ns = moment.mono_ns
            identity = _identity(self._file)
            if identity == self._identity:
                return
            self._identity = identity
        try:
            self.reload()
        except ConfigError as error:
            self.problem = str(error)
            _log.error("the limits stay as they are: %s", error)
        else:
            _log.info("limits read again from %s", self._file)

    def _read(self) -> RestLimits:
        if self._file is None:
            return self._shipped
        return read_limits(self._file, self._shipped)


def _identity(path: Path | None) -> tuple[int, int]:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns) if status is not None else (0, 0)


def _now() -> Now:
    return Now(time.monotonic_ns(), time.time_ns())
