"""Cutting both logs into parts of whole instruments, so that memory stays bounded. Floor 4; numpy.

Within a part the rows are grouped by (instrument, connection), in the order of the logs.
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
