"""Instruments as users write them, checked as far as that can be done without a list. Floor 3."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Final

from pipeline.core.control import Instrument

_TOKEN_MAX: Final = 2**32 - 1
_NAME_LENGTH_MAX: Final = 200


def as_forms(instruments: Instrument | Iterable[Instrument]) -> list[Instrument]:
    """Return instruments, one or many, as tokens and names; a name of digits is a token.

    Raises TypeError or ValueError for what can be neither a token nor a name.
    """
    if isinstance(instruments, str | bytes) or not isinstance(instruments, Iterable):
        return [_as_form(instruments)]
    return [_as_form(item) for item in instruments]


def _as_form(item: object) -> Instrument:
    if isinstance(item, str):
        if not 0 < len(item) <= _NAME_LENGTH_MAX:
            raise ValueError(
                f"an instrument's name of {len(item)} characters: expected 1 to {_NAME_LENGTH_MAX}"
            )
        if not item.isascii() or not item.isdigit():
            return item
        item = int(item)
    try:
        token = operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"instrument {item!r}: expected a token (an integer) or a name such as 'NSE:INFY'"
        ) from None
    if isinstance(item, bool) or not 0 < token <= _TOKEN_MAX:
        raise ValueError(f"instrument token {item!r}: expected 1 to {_TOKEN_MAX}")
    return token
