"""What an instance of somebody else streams, held against what a KiteTicker wants of it. Floor 7.

The config of that instance says what is streamed and in which mode; a ticker that is attached to
it cannot change that. So each difference is told, once, with the key to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pipeline.core.enums import Mode
from pipeline.strategy.market import Market

_SHOWN: Final = 5


class Complaint(NamedTuple):
    """One sentence to the user; `is_error` when fields or instruments that he wants are missing."""

    text: str
    is_error: bool


class _Difference(NamedTuple):
    """The mode that is streamed, NONE for no stream, and the one that is wanted instead."""

    found: Mode
    wanted: Mode


class Offer:
    """Remembers what it has told; used by the session's thread alone."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._told: dict[int, _Difference] = {}

    def complaints(self, wanted: Mapping[int, Mode]) -> Iterator[Complaint]:
        """Yield a sentence for what is missing, and one for each mode in the place of another."""
        offered = self._market.modes()
        differences: dict[int, _Difference] = {}
        for token, mode in wanted.items():
            found = offered.get(token, Mode.NONE)
            if found is not mode:
                differences[token] = _Difference(found, mode if found else Mode.NONE)
        new = differences.items() - self._told.items()
        self._told = differences  # what is given up and wanted again is told again
        for difference in sorted({difference for _, difference in new}):
            yield self._complaint(difference, sorted(t for t, d in new if d == difference))

    def _complaint(self, difference: _Difference, tokens: list[int]) -> Complaint:
        found, wanted = difference
        shown = ", ".join(map(str, tokens[:_SHOWN])) + (", ..." if len(tokens) > _SHOWN else "")
        name = self._market.attachment.paths.name
        if not found:
            return Complaint(
                f"instance {name} does not stream {len(tokens)} of these instruments ({shown}): "
                "add them to [[subscription]] instruments in its config",
                is_error=True,
            )
        return Complaint(
            f"instance {name} streams {len(tokens)} of these instruments ({shown}) in mode "
            f"{found.name.lower()}, not {wanted.name.lower()}: change [[subscription]] mode in "
            "its config",
            is_error=found < wanted,
        )
