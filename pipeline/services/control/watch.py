"""How every connection has been doing: rates, recent errors, the last one, scores. Floor 4.

Looks at the pages now and then, remembers what a single look cannot tell, and judges; acts on
nothing. What documents, metrics, alerts and the pool itself say of health comes from here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.brokers.contract import Session
from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import EventKind, State
from pipeline.planning.health import (
    RECONNECT_WINDOW_NS,
    ConnectionHealth,
    PoolHealth,
    Vitals,
    judge_health,
)
from pipeline.planning.meters import RateMeter, Rates, RecentCount
from pipeline.services.control.decoders import DecoderReading, Decoders
from pipeline.services.control.links import Measured
from pipeline.services.control.occurrences import EventLog, Occurrence
from pipeline.services.control.readings import Reading, Readings
from pipeline.services.control.texts import ErrorTexts
from pipeline.shm.names import InstancePaths

#: Pages are looked at so often; for whoever asks, if that was longer ago than FRESH_NS.
FRESH_NS: Final = NS_PER_S // 20
LOOK_NS: Final = NS_PER_S // 2
ERRORS_WINDOW_NS: Final = 60 * NS_PER_S
#: Fills of the frame ring that are remembered: those of a minute.
FILLS: Final = 300

FEED_ERRORS: Final = (
    "handshake_failures", "stalls", "resets", "protocol_errors", "utf8_errors", "too_big",
    "slow_frames", "ping_floods", "text_invalid", "server_errors",
)  # fmt: skip
DECODE_ERRORS: Final = ("frames_short", "frames_trailing", "frames_quarantined")
FEED_DROPS: Final = ("messages_dropped",)
DECODE_DROPS: Final = (
    "frames_overrun", "frames_quarantined", "packets_unknown_size", "packets_unassigned",
    "packets_quarantined",
)  # fmt: skip

#: States in which something has gone wrong.
_TROUBLE: Final = frozenset(
    {State.STALLED, State.RECONNECTING, State.AUTH_EXPIRED, State.LIMITED, State.FAILED}
)
_METERS: Final = ("frames", "packets", "ticks", "bytes", "heartbeats")


class LastError(NamedTuple):
    """The last trouble of a connection: `code` is a close code, HTTP status or signal, 0 = none."""

    state: str
    reason: str
    code: int
    ts_ns: int


class History:
    """What is remembered of one connection."""

    def __init__(self, log: EventLog, texts: ErrorTexts) -> None:
        self.log = log
        self.texts = texts
        self.refusal = ""  # what the broker said last, while `server_errors_per_min` counts it
        self.meters = {name: RateMeter() for name in _METERS}
        self.fills: deque[float] = deque(maxlen=FILLS)
        self.ages_ns: deque[float] = deque(maxlen=FILLS)  # each look's median
        self.last_error: LastError | None = None
        self.last_heartbeat_mono_ns = 0
        self._heartbeats = -1
        self._reconnects = RecentCount(RECONNECT_WINDOW_NS)
        self._errors = RecentCount(ERRORS_WINDOW_NS)
        self._overruns = RecentCount(ERRORS_WINDOW_NS)
        self._server_errors = RecentCount(ERRORS_WINDOW_NS)
        self.recent_reconnects = 0
        self.errors_per_min = 0
        self.overruns_per_min = 0
        self.server_errors_per_min = 0

    def note(self, reading: Reading, now_ns: int) -> None:
        """Take in one look."""
        for name, count in totals(reading).items():
            if name in self.meters:
                self.meters[name].update(now_ns, count)
        beats = reading.feed["heartbeats_in"]
        if self._heartbeats not in (-1, beats):
            self.last_heartbeat_mono_ns = now_ns
        self._heartbeats = beats
        self.fills.append(reading.ring_fill)
        if len(reading.ages_ns):
            self.ages_ns.append(percentile(reading.ages_ns, 50))
        self.recent_reconnects = self._reconnects.update(now_ns, reading.feed["reconnects"])
        self.errors_per_min = self._errors.update(now_ns, totals(reading)["errors"])
        overruns, refused = reading.decode["frames_overrun"], reading.feed["server_errors"]
        self.overruns_per_min = self._overruns.update(now_ns, overruns)
        self.server_errors_per_min = self._server_errors.update(now_ns, refused)
        self.refusal = self.texts.newest() or self.refusal

    def note_occurrence(self, found: Occurrence) -> None:
        """Take in one record of the event stream."""
        if found.kind is EventKind.STATE and found.state in _TROUBLE:
            self.last_error = LastError(
                found.state.name, found.reason.name, found.detail, found.end_ts_ns
            )

    @property
    def measured(self) -> Measured:
        """What placement goes by."""
        packets, bytes_in = self.meters["packets"].rates, self.meters["bytes"].rates
        age_ns = max(int(percentile(self.ages_ns, 50)), 0)
        return Measured(age_ns, packets_per_s=packets.s60, bytes_per_s=bytes_in.s60)

    @property
    def rates(self) -> Mapping[str, Rates]:
        """Counts per second: frames, packets, ticks, bytes, heartbeats."""
        return {name: meter.rates for name, meter in self.meters.items()}


class Watch:
    """All connections of an instance; `look` as often as you like.

    `session_of` says what a connection's broker speaks; `tell` is called with what has happened.
    """

    def __init__(
        self, paths: InstancePaths, *, confirm_ns: int, session_of: Callable[[int], Session],
        decoders: int = 1,
        tell: Callable[[Occurrence], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._paths = paths
        self._source = Readings(paths, confirm_ns)
        self._decoders = Decoders(paths, decoders)
        self._session_of = session_of
        self._tell = tell
        self.taken_ns = 0
        self.readings: dict[int, Reading] = {}
        self.decoders: list[DecoderReading] = []
        self.histories: dict[int, History] = {}
        self._judged: list[Vitals] = []
        self.health: PoolHealth = judge_health(())

    def look(self, now_ns: int, capacities: Mapping[int, int], *, every_ns: int = LOOK_NS) -> bool:
        """Look at all pages, unless the last look is less than `every_ns` ago; return whether.

        `capacities` are those of the connections that there are, by number.
        """
        if now_ns - self.taken_ns < every_ns:
            return False
        begins = self.taken_ns == 0
        self.taken_ns = now_ns
        self.readings = self._source.take(now_ns)
        self.decoders = self._decoders.take(now_ns)
        for number in self.histories.keys() - self.readings.keys():
            self._tell_news(self.histories.pop(number))  # its end, which no page shows any more
        for number, reading in list(self.readings.items()):
            try:
                history = self._history(number, begins=begins)
            except FileNotFoundError:
                del self.readings[number]  # it is being taken away at this moment
            else:
                history.note(reading, now_ns)
        self._judged = [
            self._vitals(reading, capacities[number], now_ns)
            for number, reading in self.readings.items()
            if number in capacities
        ]
        self.health = judge_health(self._judged)
        return True

    def health_of(self, numbers: Container[int] | None) -> PoolHealth:
        """Return the health of some connections, judged beside each other; None: of all."""
        if numbers is None:
            return self.health
        return judge_health([found for found in self._judged if found.number in numbers])

    def score(self, number: int) -> ConnectionHealth | None:
        """Return a connection's health, None while nothing is known of it."""
        return next((found for found in self.health.connections if found.number == number), None)

    def _history(self, number: int, *, begins: bool) -> History:
        history = self.histories.get(number)
        if history is None:
            texts = ErrorTexts(self._paths, number, self._session_of(number))
            history = self.histories[number] = History(EventLog(self._paths, number), texts)
            if begins:  # before our time: remembered, told to nobody
                for found in history.log.news():
                    history.note_occurrence(found)
        self._tell_news(history)
        return history

    def _tell_news(self, history: History) -> None:
        for found in history.log.news():
            history.note_occurrence(found)
            self._tell(found)

    def _vitals(self, reading: Reading, capacity: int, now_ns: int) -> Vitals:
        history = self.histories[reading.number]
        return Vitals(
            number=reading.number,
            connected=reading.connected,
            capacity=capacity,
            last_frame_age_ns=age_ns(now_ns, reading.last_byte_mono_ns),
            last_message_age_ns=age_ns(now_ns, reading.last_byte_mono_ns),
            reconnects=history.recent_reconnects,
            errors_per_min=history.errors_per_min,
            ring_fill_p95=percentile(history.fills, 95),
            tick_age_p95_ns=int(percentile(reading.ages_ns, 95)),
            unconfirmed_share=len(reading.unconfirmed) / reading.wire if reading.wire else 0.0,
        )


def totals(reading: Reading) -> dict[str, int]:
    """Return what a connection has counted since its instance began."""
    feed, decode = reading.feed, reading.decode
    return {
        "frames": feed["frames_out"],
        "packets": decode["packets_in"],
        "ticks": decode["ticks_out"],
        "bytes": feed["bytes_in"],
        "heartbeats": feed["heartbeats_in"],
        "drops": _sum(feed, FEED_DROPS) + _sum(decode, DECODE_DROPS),
        "gaps": decode["gaps_out"],
        "instrument_gaps": decode["instrument_gaps_out"],
        "errors": _sum(feed, FEED_ERRORS) + _sum(decode, DECODE_ERRORS),
    }


def age_ns(now_ns: int, then_ns: int) -> int:
    """Return how long ago a time was; 0 for one that never was."""
    return max(now_ns - then_ns, 0) if then_ns else 0


def percentile(values: Any, percent: float) -> float:
    """Return a percentile, the nearest value at or above it; 0 of nothing."""
    found = np.asarray(values)
    return float(np.percentile(found, percent, method="higher")) if found.size else 0.0


def _sum(counters: Mapping[str, int], names: tuple[str, ...]) -> int:
    return sum(counters[name] for name in names)
