"""Names among the instruments that a strategy asks for, made tokens. Floor 3.

What was subscribed to by a name is what the control process answered; all else is looked up in
the instrument list of this machine, which is opened at the first such name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from numpy.typing import ArrayLike

from pipeline.core.control import Instrument
from pipeline.instruments.lookup import shared
from pipeline.strategy.forms import as_forms

#: {form -> the tokens that it was answered with}; none for what was not subscribed to.
Subscribed = Callable[[str], Iterable[int]]


def as_tokens(
    instruments: ArrayLike | Instrument | Iterable[Instrument],
    *,
    file: Path | None,
    subscribed: Subscribed,
    price: Callable[[int], float | None],
) -> ArrayLike:
    """Return instruments with each name replaced by its tokens; as they are without a name.

    file: the instrument list, None for the usual one. price: for `atm`. Raises UnknownInstruments
    with all that are unknown, NoInstruments when there is no list.
    """
    if isinstance(instruments, str):
        instruments = [instruments]
    if not isinstance(instruments, list | tuple | set | frozenset):
        return instruments  # type: ignore[return-value]
    if not any(isinstance(item, str) for item in instruments):
        return list(instruments) if isinstance(instruments, set | frozenset) else instruments
    found: list[Instrument] = []
    for form in as_forms(instruments):
        known = sorted(subscribed(form)) if isinstance(form, str) else ()
        found += known or [form]
    return shared(file).tokens(found, spot=price)
