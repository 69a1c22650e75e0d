"""Rendezvous hashing of instruments over connections. Floor 2; pure.

An instrument belongs to the connection with its highest score. A connection that comes takes
its share and moves no other; one that goes gives away its own alone. Scores depend on the token,
the account and the seat within the account, hence not on the process, its start or the order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MASK: Final = 2**64 - 1
_STEP: Final = 0x9E3779B97F4A7C15  # splitmix64
_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT: Final = 31


def seat_key(account: str, place: int) -> int:
    """Return the 64 bits that stand for a seat of an account."""
    digest = hashlib.blake2b(f"{account}/{place}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def score(token: int, seat: int) -> int:
    """Return the score of one instrument on one seat: 64 bits."""
    value = (token * _STEP ^ seat) & _MASK
    for shift, factor in _MIX:
        value = ((value ^ value >> shift) * factor) & _MASK
    return value ^ value >> _LAST_SHIFT


def scores(tokens: NDArray[np.uint64], seat: int) -> NDArray[np.uint64]:
    """Return the scores of many instruments on one seat: (n,) uint64, as `score` gives them."""
    value = tokens * np.uint64(_STEP) ^ np.uint64(seat)
    for shift, factor in _MIX:
        value = (value ^ value >> np.uint64(shift)) * np.uint64(factor)
    return np.asarray(value ^ value >> np.uint64(_LAST_SHIFT), dtype=np.uint64)


class Winners:
    """Whose each instrument is, kept up while seats are added; seats are numbered from 0."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = np.array(tokens, dtype=np.uint64)
        self._index = {token: position for position, token in enumerate(tokens)}
        self._best = np.zeros(len(tokens), dtype=np.uint64)
        self._winner = np.zeros(len(tokens), dtype=np.int64)
        self._winners: list[int] | None = None
        self._seats: list[int] = []

    def add(self, seat: int) -> None:
        """Add a seat, by its `seat_key`."""
        found = scores(self._tokens, seat)
        takes = found > self._best
        if not self._seats:
            takes[:] = True
        self._best[takes] = found[takes]
        self._winner[takes] = len(self._seats)
        self._seats.append(seat)
        self._winners = None

    def winner(self, token: int) -> int:
        """Return the seat of an instrument; there must be one."""
        if self._winners is None:
            self._winners = self._winner.tolist()
        return self._winners[self._index[token]]

    def ranking(self, token: int) -> list[int]:
        """Return all seats, the instrument's best first."""
        order = range(len(self._seats))
        return sorted(order, key=lambda n: score(token, self._seats[n]), reverse=True)
