"""Whether a connection is alive, and what to do when it is not. Floor 2; pure.

Two questions, two clocks: does *anything* come (else ping, then give up), and do *ticks* come
(else say so, ask for them once more, and then open another connection). All times are of the
monotonic clock, in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

#: A silent subscription is asked for again at once, and then at most this often: an answer that
#: holds nothing new (illiquid instruments) must not become a habit.
PROBE_INTERVAL_NS: Final = 300 * 1_000_000_000

#: Without an answer, the connection is given up at so many times the limit for QUIET; an answer
#: always has all of them but the first, also to a question that came late.
QUIET_PATIENCE: Final = 3


class Verdict(Enum):
    """What is to be done about a silence."""

    NONE = "none"
    PING = "ping"
    STALLED = "stalled"


class Quietness(Enum):
    """What is to be done about missing ticks."""

    NONE = "none"
    QUIET = "quiet"  # enter the state, if it is not entered yet
    PROBE = "probe"  # and subscribe once more
    GIVE_UP = "give up"  # and open another connection


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessPolicy:
    """The limits of `[feed]`."""

    ping_after_ns: int
    stall_after_ns: int
    quiet_after_ns: int


def judge_silence(
    policy: LivenessPolicy, *, now_ns: int, last_byte_ns: int, last_ping_ns: int
) -> Verdict:
    """Judge how long nothing came; one ping per silence (`last_ping_ns` 0 = none yet)."""
    silence_ns = now_ns - last_byte_ns
    if silence_ns >= policy.stall_after_ns:
        return Verdict.STALLED
    if silence_ns >= policy.ping_after_ns and last_ping_ns <= last_byte_ns:
        return Verdict.PING
    return Verdict.NONE


def judge_quiet(
    policy: LivenessPolicy, *, now_ns: int, last_data_ns: int, last_probe_ns: int
) -> Quietness:
    """Judge how long no tick came, where ticks are due (`last_probe_ns` 0 = never probed).

    `last_data_ns` is the later of the last data message and of the moment since when ticks are
    due. Giving up needs an unanswered probe: a server that answers one with a snapshot lives.
    """
    quiet_ns = now_ns - last_data_ns
    if quiet_ns < policy.quiet_after_ns:
        return Quietness.NONE
    since_probe_ns = now_ns - last_probe_ns
    if last_probe_ns > last_data_ns:
        unanswered = since_probe_ns >= (QUIET_PATIENCE - 1) * policy.quiet_after_ns
        return Quietness.GIVE_UP if unanswered else Quietness.QUIET
    if not last_probe_ns or since_probe_ns >= PROBE_INTERVAL_NS:
        return Quietness.PROBE
    return Quietness.QUIET
