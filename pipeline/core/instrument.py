"""A row of a broker's instrument list, which brokers read and the catalogue keeps. Floor 1."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: The segment of what is computed and cannot be traded, as Kite's instrument list calls it.
INDEX_SEGMENT: Final = "INDICES"
CALL: Final = "CE"
PUT: Final = "PE"
FUTURE: Final = "FUT"
OPTION_TYPES: Final = (CALL, PUT)
EXCHANGE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,15}")
#: What can be typed after an exchange and a colon: printable, without : and @, not like a #NUMBER,
#: no blank at either end.
SYMBOL: Final = re.compile(r"(?![# ])[!-9;-?A-~ ]{1,64}(?<! )")


class Instrument(NamedTuple):
    """A row of a broker's instrument list, as far as we need it. Prices are rupees."""

    instrument_token: int
    exchange: str
    tradingsymbol: str
    name: str  # of a derivative: its underlying's
    segment: str
    instrument_type: str
    expiry: str  # YYYY-MM-DD, or empty
    strike: float
    tick_size: float
    lot_size: int
    exchange_token: int = 0
    last_price: float = 0.0  # as the list has it: of the day before, or 0

    @property
    def key(self) -> str:
        """The name that people write, such as `NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def is_index(self) -> bool:
        """Whether it is an index, which cannot be traded."""
        return self.segment == INDEX_SEGMENT


@dataclass(slots=True)
class Skips:
    """The rows of a list that were passed over: how many, and the first few with their lines."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    examples_max: int = 5

    def add(self, line: int, reason: str, rows: int = 1) -> None:
        """Count rows that were one to whoever read them; `line` is the file's, from 1."""
        self.count += rows
        if len(self.examples) < self.examples_max:
            self.examples.append(f"line {line}: {reason}")
