"""The verdict: what was sent against what a strategy itself has logged. Floor 4; pure numpy.

No counter of the pipeline is believed. Each packet of the truth log has to turn up in the
strategy's log exactly once, per instrument in the order of sending, or lie in a gap that the
strategy was told of. Packets are matched by connection, instrument, mode and sequence; where a
packet carries only 12 bits of its sequence (ltp packets and indices), the rest is found by time:
it is the latest such sequence sent before the tick was received. Where one state was sent more
than once (cached repeats), ticks belong to the sendings in turn if there are as many, else to the
latest sending before the reception.

A lost packet is explained by a gap of its connection if it was sent within the gap, give or take
the slack, or if the gap lies between the ticks delivered just before and just after it: bytes of
a connection keep their order, however long they stood in a socket's buffer. A gap of one instrument
explains what was sent of that within it, on whatever connection.

A gap has to be true itself, too: one that is announced too wide would explain any loss. It runs
from the last reception before it to the first after it, so no tick that was delivered may have
been received within it. That of one instrument begins when its last connection was decoded last,
which may have brought a few more until it was let go: give or take the slack, none lies within.

Work is cut into ranges of instruments, so that memory stays bounded beside a few bytes a row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from ext.simulate import KIND_LYING
from pipeline.sim.grouping import CHUNK_ROWS, Array, Groups
from pipeline.sim.matching import match

#: What a strategy logs of each tick; further fields do no harm. `sequence` is `volume_traded`, or
#: the low 12 bits of the price in wire units where there is no volume.
received_dtype: Final = np.dtype(
    [
        ("instrument_token", "<u4"),
        ("sequence", "<u4"),
        ("mode", "u1"),
        ("connection", "<u2"),
        ("receive_ts_ns", "<i8"),
    ]
)

#: What a strategy was told was lost: a connection and the time between two receptions. `exact`:
#: nothing was received in between, as a gap says; a decoder's overrun may end within a frame that
#: was delivered in part, and only says where its frames lay. `instrument_token` 0: of them all.
gap_dtype: Final = np.dtype(
    [
        ("connection", "<u2"),
        ("start_ts_ns", "<i8"),
        ("end_ts_ns", "<i8"),
        ("exact", "?"),
        ("instrument_token", "<u4"),
    ]
)

SLACK_NS: Final = 50_000_000
_FOREVER: Final = np.iinfo(np.int64).max


@dataclass
class Verdict:
    """What the comparison found; `passed` is what a verdict is for.

    `lost` counts all packets that did not arrive, `lost_outside_gaps` those that no gap explains;
    `unexplained` counts ticks that were never sent, `gaps_too_wide` the gaps in whose midst a tick
    was received. Lying packets (whole ones in a malformed
    frame) may be missing without being lost. `instruments` names the first offenders.
    """

    sent: int = 0
    received: int = 0
    lost: int = 0
    lost_outside_gaps: int = 0
    doubled: int = 0
    out_of_order: int = 0
    unexplained: int = 0
    lying_sent: int = 0
    lying_missing: int = 0
    gaps: int = 0
    gaps_too_wide: int = 0
    instruments: list[dict[str, int]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every packet is accounted for, by gaps that are true."""
        wrong = self.lost_outside_gaps + self.doubled + self.out_of_order + self.unexplained
        return wrong + self.gaps_too_wide == 0

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        return {"passed": self.passed, **asdict(self)}


def verify(
    truth: Array,
    received: Array,
    gaps: Array,
    *,
    from_ts_ns: int = 0,
    until_ts_ns: int = _FOREVER,
    slack_ns: int = SLACK_NS,
    offenders_max: int = 20,
) -> Verdict:
    """Compare a truth log with a strategy's log and the gaps that it was told.

    truth: (n,) truth_dtype; received: (m,) with the fields of `received_dtype`, in the order of
    delivery; gaps: (g,) gap_dtype. Packets of sessions that named no connection are left out, and
    what was sent before `from_ts_ns` or after `until_ts_ns` need not have arrived.
    """
    groups = Groups(truth, received)
    # truth row -> received row that it arrived as, -1 = not at all
    arrival = np.full(len(truth), -1, np.int64)
    verdict = Verdict(received=len(received), gaps=len(gaps))
    offences = Offences()
    for part in groups.parts():
        found = match(part)
        arrival[part.sent.row] = found.arrival
        verdict.doubled += offences.add("doubled", received, found.doubled)
        verdict.out_of_order += offences.add("out_of_order", received, found.out_of_order)
        verdict.unexplained += offences.add("unexplained", received, found.unexplained)
    lost = _count_sent(truth, arrival, verdict, from_ts_ns, until_ts_ns)
    verdict.lost = offences.add("lost", truth, lost)
    of_one = gaps[gaps["instrument_token"] > 0]
    of_all = gaps[gaps["instrument_token"] == 0]
    outside = _outside_gaps(truth, received, of_all, arrival, lost, slack_ns)
    outside = outside[~_in_own_gap(truth[outside], of_one, slack_ns)]
    wide = _too_wide(received, of_all).sum() + _own_too_wide(received, of_one, slack_ns)
    verdict.gaps_too_wide = int(wide)
    verdict.lost_outside_gaps = offences.add("lost_outside_gaps", truth, outside)
    verdict.instruments = offences.worst(offenders_max)
    return verdict


def _count_sent(
    truth: Array, arrival: Array, verdict: Verdict, from_ts_ns: int, until_ts_ns: int
) -> Array:
    """Count what was sent into the verdict; return the truth rows that are lost."""
    lost = [np.empty(0, np.int64)]
    for start in range(0, len(truth), CHUNK_ROWS):
        chunk = truth[start : start + CHUNK_ROWS]
        missing = arrival[start : start + CHUNK_ROWS] < 0
        times = chunk["send_ts_ns"]
        due = (chunk["connection"] >= 0) & (times >= from_ts_ns) & (times <= until_ts_ns)
        lying = due & (chunk["kind"] == KIND_LYING)
        due &= ~lying
        verdict.sent += int(due.sum())
        verdict.lying_sent += int(lying.sum())
        verdict.lying_missing += int((lying & missing).sum())
        lost.append(np.flatnonzero(due & missing) + start)
    return np.concatenate(lost)


def _outside_gaps(
    truth: Array, received: Array, gaps: Array, arrival: Array, lost: Array, slack_ns: int
) -> Array:
    """Return the lost truth rows that no gap of their connection explains."""
    outside = [np.empty(0, np.int64)]
    of_lost = truth["connection"][lost]
    for connection in np.unique(of_lost):
        rows = lost[of_lost == connection]
        mine = np.sort(gaps[gaps["connection"] == connection], order="start_ts_ns")
        starts = mine["start_ts_ns"] - slack_ns
        ends = np.maximum.accumulate(mine["end_ts_ns"] + slack_ns) if len(mine) else starts
        rows = rows[~_overlaps(starts, ends, truth["send_ts_ns"][rows], truth["send_ts_ns"][rows])]
        if len(rows) and len(mine):
            before, after = _neighbours(truth, received, arrival, rows, int(connection))
            rows = rows[~_contains(mine, before - slack_ns, after + slack_ns)]
        outside.append(rows)
    return np.concatenate(outside)


def _too_wide(received: Array, gaps: Array) -> Array:
    """Return which gaps a tick of their connection was received in, between both ends."""
    wide = np.zeros(len(gaps), bool)
    exact = np.flatnonzero(gaps["exact"])
    for start in range(0, len(received) if len(exact) else 0, CHUNK_ROWS):
        chunk = received[start : start + CHUNK_ROWS]
        for connection in np.unique(gaps["connection"][exact]):
            mine = exact[gaps["connection"][exact] == connection]
            times = np.sort(chunk["receive_ts_ns"][chunk["connection"] == connection])
            first = np.searchsorted(times, gaps["start_ts_ns"][mine], "right")
            wide[mine] |= first < np.searchsorted(times, gaps["end_ts_ns"][mine], "left")
    return wide


def _in_own_gap(sent: Array, gaps: Array, slack_ns: int) -> Array:
    """Return which packets were sent within a gap of their instrument."""
    inside = np.zeros(len(sent), bool)
    for gap in gaps:
        of_it = sent["instrument_token"] == gap["instrument_token"]
        times = sent["send_ts_ns"]
        after = times >= gap["start_ts_ns"] - slack_ns
        inside |= of_it & after & (times <= gap["end_ts_ns"] + slack_ns)
    return inside


def _own_too_wide(received: Array, gaps: Array, slack_ns: int) -> int:
    """Count the gaps of instruments in whose midst a tick of theirs was received."""
    if not len(gaps):
        return 0
    rows = received[np.isin(received["instrument_token"], gaps["instrument_token"])]
    order = np.argsort(rows["instrument_token"])
    tokens, times = rows["instrument_token"][order], rows["receive_ts_ns"][order]
    begins = np.searchsorted(tokens, gaps["instrument_token"], "left")
    ends = np.searchsorted(tokens, gaps["instrument_token"], "right")
    wide = 0
    for gap, begin, end in zip(gaps, begins, ends, strict=True):
        own = times[begin:end]
        late = own > gap["start_ts_ns"] + slack_ns
        wide += bool(np.any(late & (own < gap["end_ts_ns"])))
    return wide


def _overlaps(starts: Array, ends: Array, first: Array, last: Array) -> Array:
    """Return whether [first, last] touches any of the spans, whose ends do not decrease."""
    place = np.searchsorted(ends, first, "left")
    inside = place < len(starts)
    inside[inside] = starts[place[inside]] <= last[inside]
    return inside


def _neighbours(
    truth: Array, received: Array, arrival: Array, rows: Array, connection: int
) -> tuple[Array, Array]:
    """Return when the ticks delivered just before and just after each lost row were received."""
    delivered = np.flatnonzero((arrival >= 0) & (truth["connection"] == connection))
    if not len(delivered):
        return np.zeros(len(rows), np.int64), np.full(len(rows), _FOREVER // 2)
    times = received["receive_ts_ns"][arrival[delivered]]
    place = np.searchsorted(delivered, rows)
    before = np.where(place > 0, times[place - 1], 0)
    after = np.where(place < len(times), times[np.minimum(place, len(times) - 1)], _FOREVER // 2)
    return before, after


def _contains(gaps: Array, first: Array, last: Array) -> Array:
    """Return whether a gap, by its start in order, lies wholly within [first, last]."""
    place = np.searchsorted(gaps["start_ts_ns"], first, "left")
    found = place < len(gaps)
    # The gap that ends earliest among those that start at `first` or later.
    earliest = np.minimum.accumulate(gaps["end_ts_ns"][::-1])[::-1]
    found[found] = earliest[place[found]] <= last[found]
    return found


class Offences:
    """Counts what is wrong per instrument, for the report."""

    def __init__(self) -> None:
        self._counts: dict[int, dict[str, int]] = {}

    def add(self, kind: str, rows: Array, offending: Array) -> int:
        """Count `rows[offending]` under `kind`; return how many those are."""
        tokens, counts = np.unique(rows["instrument_token"][offending], return_counts=True)
        for token, count in zip(tokens.tolist(), counts.tolist(), strict=True):
            of_token = self._counts.setdefault(token, {})
            of_token[kind] = of_token.get(kind, 0) + count
        return len(offending)

    def worst(self, limit: int) -> list[dict[str, int]]:
        """Return the instruments with the most offences."""
        ranked = sorted(self._counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
        return [{"instrument_token": token, **counts} for token, counts in ranked[:limit]]
