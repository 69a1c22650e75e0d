"""What the pools of an instance have done, and the numbers of their connections. Floor 4; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Numbers have 16 bits; one plan opens fewer than what is left over.
NUMBERS_MAX: Final = 2**16 - 1024


@dataclass
class Counters:
    """What the pool has done since its instance began; the page keeps it over restarts."""

    subscriptions: int = 0
    unsubscriptions: int = 0
    connections_opened: int = 0
    connections_closed: int = 0
    moves_begun: int = 0
    moves_done: int = 0
    moves_failed: int = 0
    moves_broken: int = 0


@dataclass
class AccountCounters:
    """The same of one API key's connections; its account page keeps it over restarts."""

    subscriptions: int = 0
    unsubscriptions: int = 0
    connections_opened: int = 0


@dataclass
class Tally:
    """What the owners of an instance have in common: what was done, and the connections' numbers.

    A number is given once, whoever's connection it is.
    """

    counters: Counters = field(default_factory=Counters)
    next_number: int = 0

    @property
    def upcoming(self) -> int:
        """The number of the next connection.

        Those that were opened and are gone have no row any more; how many they were is known.
        """
        return max(self.next_number, self.counters.connections_opened)

    def take(self) -> int:
        """Return a number that no connection had before."""
        number = self.upcoming
        self.next_number = number + 1
        self.counters.connections_opened += 1
        return number

    def note(self, number: int) -> None:
        """Take note of a connection that was there already."""
        self.next_number = max(self.next_number, number + 1)
