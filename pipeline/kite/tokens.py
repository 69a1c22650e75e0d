"""Instrument tokens and modes as users give them, checked. Floor 7; pure."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Final

from pipeline.core.enums import Mode

_TOKEN_MAX: Final = 2**32 - 1


def as_modes(wanted: Mapping[int, str]) -> dict[int, Mode]:
    """Return the modes of instruments by the words that KiteTicker has for them."""
    return {token: Mode[mode.upper()] for token, mode in wanted.items()}


def as_tokens(instrument_tokens: Iterable[int]) -> list[int]:
    """Return instrument tokens as integers; numpy's are taken, text is not."""
    if isinstance(instrument_tokens, str | bytes) or not isinstance(instrument_tokens, Iterable):
        raise TypeError(f"instrument_tokens {instrument_tokens!r}: expected a list of integers")
    found = []
    for item in instrument_tokens:
        try:
            token = operator.index(item)
        except TypeError:
            raise TypeError(f"instrument token {item!r}: expected an integer") from None
        if not 0 < token <= _TOKEN_MAX:
            raise ValueError(f"instrument token {token}: expected 1 to {_TOKEN_MAX}")
        found.append(token)
    return found
