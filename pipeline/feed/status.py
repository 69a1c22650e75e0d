"""What a feed tells of itself: state changes into the frame ring, and the status page. Floor 3."""

from __future__ import annotations

import logging
from typing import Any, Final

from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns, real_ns
from pipeline.core.enums import Reason, State
from pipeline.core.logs import StderrHandler
from pipeline.feed.segments import FeedSegments

#: A difference of the two clocks that changes by more than this is a step of the wall clock.
CLOCK_STEP_NS: Final = NS_PER_S
CLOCK_PAIR_NS: Final = 10 * NS_PER_MS
#: How often log and clocks are looked at: beats are part of the loop that reads the socket.
LOOK_NS: Final = 50 * NS_PER_MS

#: Where the messages that came in can have gone.
PASSED_ON: Final = ("frames_out", "orders_out", "text_out", "messages_own", "messages_dropped")


class FeedStatus:
    """The present state; each change is a STATE in the frame ring, in order with the messages."""

    def __init__(self, segments: FeedSegments, log: logging.LoggerAdapter[logging.Logger]) -> None:
        self._segments = segments
        self._log = log
        self._page = segments.page
        self.record: Any = segments.page.record
        self.state = State.IDLE
        self.reason = Reason.NONE
        self.since_ns = monotonic_ns()
        self.epoch = segments.last_epoch
        self._clock_offset_ns = real_ns() - monotonic_ns()
        self._next_look_ns = 0

    def take_over(self) -> None:
        """Count what a killed predecessor had received but not passed on as dropped."""
        passed_on = sum(int(self.record[name]) for name in PASSED_ON)
        in_hand = int(self.record["messages_in"]) - passed_on
        self.record["messages_dropped"] += max(0, in_hand)

    def enter(self, state: State, reason: Reason, detail: int = 0, note: str = "") -> None:
        """Enter a state, unless it is the present one for the same reason."""
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        self.since_ns = monotonic_ns()
        self._page.set_state(state, reason)
        self._append(reason, detail)
        number = f" {detail}" if detail else ""
        text = f"{state.name} ({reason.name.lower()}{number})"
        self._log.info("%s", f"{text}: {note}" if note else text)

    def begin_epoch(self) -> int:
        """Return the next connection epoch; what is appended from now on belongs to it."""
        self.epoch += 1
        self.record["connection_epoch"] = self.epoch
        return self.epoch

    def beat(self, now_ns: int, busy_until_ns: int = 0) -> None:
        """Say that this process lives; notice when the wall clock was set."""
        self._page.beat(now_ns, busy_until_ns)
        if now_ns >= self._next_look_ns:
            self._next_look_ns = now_ns + LOOK_NS
            self._look_after_log(now_ns)
            self._look_at_clocks()

    def _look_at_clocks(self) -> None:
        before_ns, wall_ns, after_ns = monotonic_ns(), real_ns(), monotonic_ns()
        if after_ns - before_ns > CLOCK_PAIR_NS:
            return  # taken off the processor in between: the pair says nothing
        step_ns = wall_ns - before_ns - self._clock_offset_ns
        self._clock_offset_ns += step_ns
        if abs(step_ns) > CLOCK_STEP_NS:
            self._append(Reason.CLOCK, step_ns)
            self._log.warning("the wall clock was set by %.3f s", step_ns / NS_PER_S)

    def _look_after_log(self, now_ns: int) -> None:
        dropped = 0
        for handler in logging.getLogger().handlers:
            if isinstance(handler, StderrHandler):
                handler.tell_repeats(now_ns)
                dropped += handler.dropped
        self.record["log_lines_dropped"] = dropped

    def _append(self, reason: Reason, detail: int) -> None:
        self._segments.frames.append_state(
            self.state,
            reason,
            detail=detail,
            connection_epoch=self.epoch,
            ts_ns=real_ns(),
            mono_ns=monotonic_ns(),
        )
        self._segments.decoder_bell.ring()
