"""Which ticks are of some instruments: for arrays, without a loop over them. Floor 3; pure."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.strategy.items import TickArray

Tokens = np.ndarray[Any, np.dtype[np.uint32]]


def is_among(tokens: Tokens, wanted: Tokens) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return a mask of `tokens`, (n,): which of them are in `wanted`, which is sorted.

    A binary search for each: `numpy.isin` would sort both, at every batch.
    """
    if not len(wanted):
        return np.zeros(len(tokens), np.bool_)
    place = np.searchsorted(wanted, tokens)
    place[place == len(wanted)] = 0
    mask: np.ndarray[Any, np.dtype[np.bool_]] = wanted[place] == tokens
    return mask


def ticks_of(ticks: TickArray, wanted: Tokens) -> TickArray:
    """Return a copy of those ticks whose instruments are in `wanted`, which is sorted.

    `compress` moves whole records; indexing by a mask moves field by field, ten times slower.
    """
    found: TickArray = np.compress(is_among(ticks["instrument_token"], wanted), ticks)
    return found
