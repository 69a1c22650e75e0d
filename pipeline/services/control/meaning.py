"""What a client's words mean: instruments by token or name, and modes. Floor 4; no I/O.

Refuses what nobody knows and what cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipeline.core.control import Instrument, mode_of
from pipeline.services.control.names import Stranger
from pipeline.services.control.refused import Refused

_SHOWN_MAX: Final = 5
_TOKEN_MAX: Final = 2**32 - 1

#: Turns what people write into tokens, and says what it does not know.
Resolver = Callable[[Sequence[str]], tuple[Mapping[str, Sequence[int]], Mapping[str, Stranger]]]


class Found(NamedTuple):
    """What instruments stand for: their tokens, each name's own, and the names nobody knows."""

    tokens: list[int]
    names: dict[str, list[int]]
    strangers: Mapping[str, Stranger]


def look_up(instruments: Sequence[Instrument], resolve: Resolver) -> Found:
    """Return what was named, also what nobody knows."""
    names = [i for i in instruments if isinstance(i, str) and not i.isdecimal()]
    known: Mapping[str, Sequence[int]] = {}
    unknown: Mapping[str, Stranger] = {}
    if names:
        known, unknown = resolve(names)
    tokens: list[int] = []
    for instrument in instruments:
        if isinstance(instrument, str) and instrument in known:
            tokens += known[instrument]
        elif isinstance(instrument, int) or instrument.isdecimal():
            tokens.append(_token(instrument))
    meant = {name: list(found) for name, found in known.items()}
    return Found(list(dict.fromkeys(tokens)), meant, unknown)


def refuse_strangers(unknown: Mapping[str, Stranger]) -> None:
    """Raise Refused for names that nobody knows, with near ones."""
    if not unknown:
        return
    texts = [stranger.text for stranger in list(unknown.values())[:_SHOWN_MAX]]
    left = len(unknown) - _SHOWN_MAX
    more = f"; and {left} more" if left > 0 else ""
    near = {name: list(stranger.near) for name, stranger in unknown.items()}
    raise Refused("unknown_instrument", "; ".join(texts) + more, {"unknown": near})


def mode_named(word: str) -> Any:
    """Return a mode by its name; raise Refused when there is none."""
    try:
        return mode_of(word)
    except ValueError as error:
        raise Refused("bad_request", str(error)) from None


def _token(instrument: int | str) -> int:
    text = str(instrument)
    if len(text) > 10 or not 0 < int(text) <= _TOKEN_MAX:
        raise Refused("bad_request", f"instrument token {text[:40]}: expected 1 to {_TOKEN_MAX}")
    return int(text)
