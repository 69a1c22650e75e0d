"""Which options are wanted around an underlying's price, and when that changes. Floor 2; pure.

The window is the strikes nearest to the price, so many levels to both sides, of the next
expiries. It follows the price with hysteresis: it stays until the middle has moved by a minimum,
and is not changed again before some time has passed.
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.core.clock import NS_PER_S


class OptionRow(NamedTuple):
    """An option of the underlying: `kind` is CE or PE, as exchanges name them."""

    token: int
    strike: float
    expiry: datetime.date
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPolicy:
    """How wide a window is and how readily it moves.

    `otm_levels` strikes on each side of the middle one; `move_min` in points of the underlying.
    """

    otm_levels: int = 10
    expiries: int = 3
    kinds: frozenset[str] = frozenset({"CE", "PE"})
    move_min: float = 100.0
    interval_min_ns: int = 300 * NS_PER_S


class OptionWindow(NamedTuple):
    """What is wanted: the middle strike of each expiry, nearest first, and the instruments."""

    middles: tuple[tuple[datetime.date, float], ...]
    tokens: frozenset[int]

    @property
    def middle(self) -> float | None:
        """The middle strike of the next expiry; None if there is no option at all."""
        return self.middles[0][1] if self.middles else None


class WindowChange(NamedTuple):
    """What a window takes up and lets go: to be done as one batch."""

    window: OptionWindow
    added: frozenset[int]
    dropped: frozenset[int]


def plan_window(
    rows: Iterable[OptionRow], spot: float, policy: WindowPolicy, *, today: datetime.date
) -> OptionWindow:
    """Return the window at a price; options that expire before `today` do not count.

    A price in the middle between two strikes belongs to the lower one. Where an expiry has fewer
    strikes on a side, there are fewer in the window.
    """
    by_expiry: dict[datetime.date, dict[float, list[OptionRow]]] = {}
    for row in rows:
        if row.expiry >= today and row.kind in policy.kinds:
            by_expiry.setdefault(row.expiry, {}).setdefault(row.strike, []).append(row)
    middles: list[tuple[datetime.date, float]] = []
    tokens: set[int] = set()
    for expiry in sorted(by_expiry)[: policy.expiries]:
        strikes = sorted(by_expiry[expiry])
        position = _nearest(strikes, spot)
        middles.append((expiry, strikes[position]))
        low = max(position - policy.otm_levels, 0)
        for strike in strikes[low : position + policy.otm_levels + 1]:
            tokens.update(row.token for row in by_expiry[expiry][strike])
    return OptionWindow(tuple(middles), frozenset(tokens))


def _nearest(strikes: list[float], spot: float) -> int:
    position = bisect_left(strikes, spot)
    if position == 0:
        return 0
    if position == len(strikes) or spot - strikes[position - 1] <= strikes[position] - spot:
        return position - 1
    return position


def is_due(
    old: float | None, new: float | None, *, since_ns: int, move_min: float, interval_min_ns: int
) -> bool:
    """Return whether a middle has moved so far, and so long after the last change, that it counts.

    Middles in any unit, None while unknown; `move_min` in the same. `since_ns`: since the change.
    """
    if since_ns < interval_min_ns:
        return False
    return old is None or new is None or abs(new - old) >= move_min


class WindowFollower:
    """A window that follows its underlying; fed with prices as they are looked at."""

    def __init__(self, rows: Iterable[OptionRow], policy: WindowPolicy) -> None:
        self.policy = policy
        self.window = OptionWindow((), frozenset())
        self._rows = tuple(rows)
        self._acted_ns: int | None = None
        self._today: datetime.date | None = None

    def follow(self, now_ns: int, spot: float, *, today: datetime.date) -> WindowChange | None:
        """Return what changes at a price, None if nothing does; `now_ns` is monotonic.

        Later changes wait for both the minimal move and the minimal time. A new day or new rows
        (`replace`) do not wait: expired options are let go of at once.
        """
        fresh = plan_window(self._rows, spot, self.policy, today=today)
        if not self._is_due(now_ns, fresh, today):
            return None
        before = self.window.tokens
        self.window, self._acted_ns, self._today = fresh, now_ns, today
        if fresh.tokens == before:
            return None
        return WindowChange(fresh, fresh.tokens - before, before - fresh.tokens)

    def replace(self, rows: Iterable[OptionRow]) -> None:
        """Follow by other rows from now on: a new dump of instruments."""
        self._rows = tuple(rows)
        self._today = None

    def _is_due(self, now_ns: int, fresh: OptionWindow, today: datetime.date) -> bool:
        if self._acted_ns is None or self._today != today:
            return True
        return is_due(
            self.window.middle, fresh.middle,
            since_ns=now_ns - self._acted_ns,
            move_min=self.policy.move_min, interval_min_ns=self.policy.interval_min_ns,
        )  # fmt: skip
