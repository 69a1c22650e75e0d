"""How many of each address are here, and how many may be. Floor 4; pure.

Bounded by who is here: an address is forgotten when its last one leaves.
"""

from __future__ import annotations


class Headcount:
    """Counts by address; what is counted under none is let in, and not counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._here: dict[str, int] = {}

    def __len__(self) -> int:
        """How many addresses are here."""
        return len(self._here)

    def enter(self, address: str | None) -> bool:
        """Count one more of an address; return whether there was room for it, else it is not."""
        if address is None:
            return True
        here = self._here.get(address, 0)
        if here >= self._most:
            return False
        self._here[address] = here + 1
        return True

    def leave(self, address: str | None) -> None:
        """Count one less of an address that was let in."""
        if address is None:
            return
        self._here[address] -= 1
        if not self._here[address]:
            del self._here[address]
