"""Pairing what was received with what was sent, per connection and instrument. Floor 4; numpy.

Both logs are cut into parts of whole instruments, so that memory stays bounded. Within a part the
rows are grouped by (instrument, connection) in the order of the logs, and then compared: row by
row where nothing is missing, else by searching each received row's key among the sent ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CHUNK_ROWS: Final = 1 << 20
_ROWS_AT_ONCE: Final = 4_000_000
_GROUPS_MAX: Final = 1 << 22
_GROUPS_AT_ONCE: Final = 1 << 16
_LOW_BITS: Final = 0xFFF
_MODE_LTP: Final = 1
_SEGMENT_INDICES: Final = 9


class Log(NamedTuple):
    """A part's rows of one log, stably sorted by group; `row` is the place in the whole log."""

    row: Array
    group: Array
    sequence: Array
    mode: Array
    time_ns: Array


class Part(NamedTuple):
    """Some whole groups of both logs; `low` marks the received rows with 12 bits of sequence."""

    sent: Log
    received: Log
    low: Array


class Matched(NamedTuple):
    """`arrival`: per sent row of the part the received row, or -1. The rest: received rows."""

    arrival: Array
    doubled: Array
    out_of_order: Array
    unexplained: Array


class Groups:
    """Numbers each (instrument, connection) that occurs, and cuts the logs into parts.

    Rows of the truth log that name no connection belong to no group.
    """

    def __init__(self, truth: Array, received: Array) -> None:
        self._truth, self._received = truth, received
        self._tokens = _distinct(truth["instrument_token"], received["instrument_token"])
        named = _distinct(truth["connection"], received["connection"])
        self._connections = named[named >= 0]
        self._count = len(self._tokens) * max(1, len(self._connections))
        if self._count > _GROUPS_MAX:
            raise ValueError(f"{self._count} instruments x connections: at most {_GROUPS_MAX}")
        self._of_truth = self._number(truth)
        self._of_received = self._number(received)

    def _number(self, rows: Array) -> Array:
        numbers = np.empty(len(rows), np.int32)
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            token = np.searchsorted(self._tokens, chunk["instrument_token"])
            connection = np.searchsorted(self._connections, chunk["connection"])
            number = token * len(self._connections) + connection
            numbers[start : start + CHUNK_ROWS] = np.where(chunk["connection"] < 0, -1, number)
        return numbers

    def parts(self) -> Iterator[Part]:
        """Yield parts of about `_ROWS_AT_ONCE` rows; a group is never cut."""
        sizes = np.bincount(self._of_truth[self._of_truth >= 0], minlength=self._count)
        sizes += np.bincount(self._of_received, minlength=self._count)
        ends = np.cumsum(sizes)
        first = 0
        while first < self._count:
            done = ends[first - 1] if first else 0
            last = int(np.searchsorted(ends, done + _ROWS_AT_ONCE, "right"))
            last = min(max(last, first + 1), self._count, first + _GROUPS_AT_ONCE)
            yield self._part(first, last)
            first = last

    def _part(self, first: int, last: int) -> Part:
        sent = _grouped(self._truth, "send_ts_ns", self._of_truth, first, last)
        received = _grouped(self._received, "receive_ts_ns", self._of_received, first, last)
        token = self._tokens[received.group // max(1, len(self._connections))]
        low = (received.mode == _MODE_LTP) | (token & 0xFF == _SEGMENT_INDICES)
        return Part(sent, received, low)


def _distinct(*columns: Array) -> Array:
    found = [np.empty(0, columns[0].dtype)]
    for column in columns:
        for start in range(0, len(column), CHUNK_ROWS):
            found.append(np.unique(column[start : start + CHUNK_ROWS]).astype(columns[0].dtype))
    return np.unique(np.concatenate(found))


def _grouped(rows: Array, time: str, groups: Array, first: int, last: int) -> Log:
    chosen = np.flatnonzero((groups >= first) & (groups < last))
    group = groups[chosen]
    # 16-bit numbers are sorted in linear time.
    order = np.argsort((group - first).astype(np.uint16), kind="stable")
    return Log(
        row=chosen[order],
        group=group[order].astype(np.int64),
        sequence=rows["sequence"][chosen][order],
        mode=rows["mode"][chosen][order],
        time_ns=rows[time][chosen][order],
    )


def match(part: Part) -> Matched:
    """Pair a part's rows."""
    if _alike(part):
        nothing = np.empty(0, np.int64)
        return Matched(part.received.row, nothing, nothing, nothing)
    sent, received = part.sent, part.received
    sent_keys = _keys(sent, sent.sequence)
    by_key = np.arange(len(sent_keys))
    if (np.diff(sent_keys) < 0).any():  # a mode changed back and forth within one state
        by_key = np.argsort(sent_keys, kind="stable")
        sent_keys = sent_keys[by_key]
    keys = _keys(received, _full_sequences(part))
    first = np.searchsorted(sent_keys, keys, "left")
    end = np.searchsorted(sent_keys, keys, "right")
    place = _choose(first, end, keys, sent.time_ns[by_key], received.time_ns)
    known = end > first
    rows, at = received.row[known], by_key[place[known]]
    arrival = np.full(len(sent.row), -1, np.int64)
    arrival[at[::-1]] = rows[::-1]  # the first arrival stands
    again = arrival[at] != rows
    return Matched(
        arrival,
        doubled=rows[again],
        out_of_order=rows[~again][_backwards(at[~again])],
        unexplained=received.row[~known],
    )


def _alike(part: Part) -> bool:
    """Whether everything arrived once and in order: then row matches row."""
    sent, received = part.sent, part.received
    if len(sent.row) != len(received.row) or not np.array_equal(sent.group, received.group):
        return False
    carried = np.where(part.low, sent.sequence & _LOW_BITS, sent.sequence)
    return np.array_equal(sent.mode, received.mode) and np.array_equal(carried, received.sequence)


def _keys(log: Log, sequence: Array) -> Array:
    return (log.group << 34) | (sequence.astype(np.int64) << 2) | (log.mode.astype(np.int64) & 3)


def _full_sequences(part: Part) -> Array:
    """Return the whole sequence of each received row."""
    sent, received, low = part.sent, part.received, part.low
    whole = received.sequence.astype(np.int64)
    if not low.any() or not len(sent.row):
        return whole
    start = min(int(sent.time_ns.min()), int(received.time_ns.min()))
    # Group above, microseconds below: one search in all groups at once.
    sent_times = np.maximum.accumulate(_moments(sent.group, sent.time_ns - start))
    got_times = _moments(received.group[low], received.time_ns[low] - start)
    latest = np.searchsorted(sent_times, got_times, "right") - 1
    # Received before the first was sent (a coarse clock): then it is the first.
    early = (latest < 0) | (sent.group[latest] != received.group[low])
    latest = np.minimum(latest + early, len(sent.row) - 1)
    newest = sent.sequence[latest].astype(np.int64)
    whole[low] = np.maximum(newest - ((newest - whole[low]) & _LOW_BITS), 0)
    return whole


def _moments(groups: Array, since_ns: Array) -> Array:
    moments: Array = (groups << 40) | np.clip(since_ns // 1000, 0, (1 << 40) - 1)
    return moments


def _choose(first: Array, end: Array, keys: Array, sent_ns: Array, received_ns: Array) -> Array:
    """Return which of its candidates [first, end) each received row is.

    If a key arrived as often as it was sent, in turn; else the last that was sent before.
    """
    place = first.copy()
    several = np.flatnonzero(end - first > 1)
    if not len(several):
        return place
    _, key, arrivals = np.unique(keys[several], return_inverse=True, return_counts=True)
    order = np.argsort(key, kind="stable")
    turn = np.empty(len(several), np.int64)
    turn[order] = np.arange(len(several)) - np.repeat(np.cumsum(arrivals) - arrivals, arrivals)
    complete = arrivals[key] == (end - first)[several]
    place[several[complete]] += turn[complete]
    several = several[~complete]
    step = 1
    while len(several):
        candidate = first[several] + step
        fits = sent_ns[candidate] <= received_ns[several]
        place[several[fits]] = candidate[fits]
        step += 1
        several = several[end[several] - first[several] > step]
    return place


def _backwards(at: Array) -> Array:
    """Return where a row was sent before one of its group that arrived earlier."""
    if not len(at):
        return np.zeros(0, bool)
    # Places grow from group to group, so one running maximum serves all of them.
    highest = np.maximum.accumulate(at)
    return np.concatenate([[False], at[1:] < highest[:-1]])
