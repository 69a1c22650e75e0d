"""What wrong keys cost an address: a late answer, then a ban. Floor 4; pure.

Times are monotonic nanoseconds. Both tables are bounded: of wrong keys the address that was quiet
for longest is forgotten first, of bans the one that would end first. Who can make us forget has
more addresses than we remember, and needs no address twice.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S

_MINUTE_NS: Final = 60 * NS_PER_S


class Penalty(NamedTuple):
    """What a wrong key costs: so long a wait for the answer, or the connection."""

    delay_ns: int
    banned: bool


class WrongKeys:
    """The wrong keys of a minute, by address, and who is banned for them."""

    def __init__(
        self, *, until_delay: int, delay_s: float, until_ban: int, ban_s: float, remembered: int
    ) -> None:
        self._until_delay = until_delay
        self._delay_ns = int(delay_s * NS_PER_S)
        self._until_ban = until_ban
        self._ban_ns = int(ban_s * NS_PER_S)
        self._remembered = remembered
        self._wrong: OrderedDict[str, deque[int]] = OrderedDict()
        self._banned_until_ns: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered for wrong keys or a ban."""
        return len(self._wrong) + len(self._banned_until_ns)

    def ban_left_ns(self, address: str, now_ns: int) -> int:
        """Return for how long an address is still banned, 0 if it is not; forgets what is over."""
        left_ns = self._banned_until_ns.get(address, now_ns) - now_ns
        if left_ns > 0:
            return left_ns
        self._banned_until_ns.pop(address, None)
        return 0

    def count(self, address: str, now_ns: int) -> Penalty:
        """Count a wrong key of an address; return what it costs."""
        times = self._wrong.pop(address, None) or deque(maxlen=self._until_ban)
        times.append(now_ns)
        recent = sum(now_ns - at_ns < _MINUTE_NS for at_ns in times)
        if recent >= self._until_ban:
            self._ban(address, now_ns)
            return Penalty(0, banned=True)
        self._wrong[address] = times
        while len(self._wrong) > self._remembered:
            self._wrong.popitem(last=False)
        return Penalty(self._delay_ns if recent >= self._until_delay else 0, banned=False)

    def _ban(self, address: str, now_ns: int) -> None:
        self._banned_until_ns.pop(address, None)
        self._banned_until_ns[address] = now_ns + self._ban_ns
        while len(self._banned_until_ns) > self._remembered:
            self._banned_until_ns.popitem(last=False)
