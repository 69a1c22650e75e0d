"""Pairing what was received with what was sent, per connection and instrument. Floor 4; numpy.

Most groups arrive as a beginning of what was sent: all of it, or all but a tail. Those are compared
row by row. The others are paired by searching each received row's key among the sent ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pipeline.sim.grouping import Array, Log, Part

_LOW_BITS: Final = 0xFFF


class Matched(NamedTuple):
    """`arrival`: per sent row of the part the received row, or -1. The rest: received rows."""

    arrival: Array
    doubled: Array
    out_of_order: Array
    unexplained: Array


def match(part: Part) -> Matched:
    """Pair a part's rows."""
    arrival = np.full(len(part.sent.row), -1, np.int64)
    place, plain = _beginnings(part)
    arrival[place[plain]] = part.received.row[plain]
    if plain.all():
        nothing = np.empty(0, np.int64)
        return Matched(arrival, nothing, nothing, nothing)
    # The rest of a group goes with it.
    settled = np.zeros(
        int(max(part.sent.group.max(initial=0), part.received.group.max())) + 1, bool
    )
    settled[part.received.group[plain]] = True
    left = ~settled[part.sent.group]
    found = _search(Part(_take(part.sent, left), _take(part.received, ~plain), part.low[~plain]))
    arrival[left] = found.arrival
    return found._replace(arrival=arrival)


def _take(log: Log, chosen: Array) -> Log:
    return Log(*(column[chosen] for column in log))


def _beginnings(part: Part) -> tuple[Array, Array]:
    """Return for each received row the sent row at the same place of its group, and whether its
    whole group agrees with that beyond doubt."""
    sent, received = part.sent, part.received
    if not len(sent.row) or not len(received.row):
        return np.zeros(len(received.row), np.int64), np.zeros(len(received.row), bool)
    first = np.flatnonzero(np.diff(received.group, prepend=-1))
    sizes = np.diff(first, append=len(received.row))
    begin = np.searchsorted(sent.group, received.group[first], "left")
    end = np.searchsorted(sent.group, received.group[first], "right")
    complete = np.repeat(end - begin == sizes, sizes)
    place = np.arange(len(received.row)) + np.repeat(begin - first, sizes)
    end = np.repeat(end, sizes)
    agrees = place < end
    place = np.minimum(place, len(sent.row) - 1)
    sequence = sent.sequence[place]
    agrees &= (sent.mode[place] == received.mode) & (sent.time_ns[place] <= received.time_ns)
    agrees &= np.where(part.low, sequence & _LOW_BITS, sequence) == received.sequence
    if not complete.all():
        agrees &= complete | _certain(part, place, np.maximum(end - 1, 0))
    return place, np.repeat(np.logical_and.reduceat(agrees, first), sizes)


def _certain(part: Part, place: Array, last: Array) -> Array:
    """Return whether no later row of the group that looks the same was sent before the reception.

    `last`: the last sent row of the group of each received row.
    """
    sent, received_ns = part.sent, part.received.time_ns
    sequence = sent.sequence.astype(np.int64)
    following = np.minimum(place + 1, last)
    repeated = (following > place) & (sequence[following] == sequence[place])
    certain: Array = ~repeated | (sent.time_ns[following] > received_ns)
    # Of 12 bits: where every state was sent, the next with these bits lies that many rows on.
    after = np.minimum(place + _LOW_BITS + 1, last)
    exact = sequence[after] - sequence[place] == _LOW_BITS + 1
    exact &= sent.time_ns[after] > received_ns
    certain &= ~part.low | exact | (sequence[last] - sequence[place] <= _LOW_BITS)
    backwards = (np.diff(sequence) < 0) & (np.diff(sent.group) == 0)
    certain &= ~np.isin(part.received.group, sent.group[1:][backwards])
    return certain


def _search(part: Part) -> Matched:
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

    If a key arrived as often as it was sent, in turn (never before it was sent); else the last
    that was sent before.
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
    turn = np.minimum(turn, end[several] - first[several] - 1)
    too_early = received_ns[several] < sent_ns[first[several] + turn]
    complete &= np.bincount(key[too_early], minlength=len(arrivals))[key] == 0
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
