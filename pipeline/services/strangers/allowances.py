"""How often somebody may ask, and how often each address may. Floor 4; pure.

Nobody's questions use up what another address may ask. The table of addresses is bounded, and
forgetting gives nobody more than he had: forgotten is only who has his whole allowance again. While
there is nobody to forget, those who are new share one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from pipeline.core.clock import NS_PER_S

ADDRESSES_REMEMBERED: Final = 4096


class Allowance:
    """So many in a second on average, and so many at once."""

    __slots__ = ("_left", "_most", "_per_s", "_then_ns")

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(per_s, 1.0)
        self._left = self._most
        self._then_ns = 0

    def take(self, now_ns: int) -> float:
        """Return 0 if one more may go, else the seconds until it may."""
        self._left = self._left_at(now_ns)
        self._then_ns = now_ns
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0

    def is_whole(self, now_ns: int) -> bool:
        """Whether it is what a new one would be."""
        return self._left_at(now_ns) >= self._most

    def _left_at(self, now_ns: int) -> float:
        earned = (now_ns - self._then_ns) / NS_PER_S * self._per_s
        return min(self._most, self._left + earned)


class Allowances:
    """An allowance for each address; one for all that are counted under none."""

    def __init__(self, per_s: float, *, remembered: int = ADDRESSES_REMEMBERED) -> None:
        self._per_s = per_s
        self._remembered = remembered
        self._of_address: OrderedDict[str, Allowance] = OrderedDict()
        self._of_uncounted = Allowance(per_s)
        self._of_newcomers = Allowance(per_s)

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._of_address)

    def take(self, address: str | None, now_ns: int) -> float:
        """Return 0 if an address may ask once more, else the seconds until it may."""
        return self._allowance(address, now_ns).take(now_ns)

    def _allowance(self, address: str | None, now_ns: int) -> Allowance:
        if address is None:
            return self._of_uncounted
        found = self._of_address.get(address)
        if found is not None:
            self._of_address.move_to_end(address)
            return found
        if len(self._of_address) >= self._remembered:
            longest_quiet = next(iter(self._of_address))
            if not self._of_address[longest_quiet].is_whole(now_ns):
                return self._of_newcomers
            del self._of_address[longest_quiet]
        found = self._of_address[address] = Allowance(self._per_s)
        return found
