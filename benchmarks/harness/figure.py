"""What was measured, and what was asked of it. Plain data, no I/O.

A figure is one quantity of one case (ours, or a peer's) with all its samples. On shared machines
a neighbour can only make a figure worse, so what is judged is the best sample; the median and the
worst are shown beside it, because they say what to expect.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

#: What our own case is called in every group.
OURS: Final = "pipeline"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure of ours must reach, and what it aims at, in its own unit.

    `floor` is what no version may fall below; `ahead` says by how many times we must be better
    than a peer that was measured in the same run.
    """

    must: float | None = None
    aim: float | None = None
    floor: float | None = None
    ahead: Mapping[str, float] = field(default_factory=dict)


@dataclass(kw_only=True)
class Figure:
    """All samples of one quantity: `group` is what is compared, `case` who did it."""

    group: str
    case: str
    unit: str
    samples: list[float]
    higher_is_better: bool = False
    goal: Goal | None = None
    note: str = ""

    @property
    def is_peer(self) -> bool:
        """Whether this is somebody else's."""
        return self.case != OURS and not self.case.startswith(f"{OURS},")

    @property
    def title(self) -> str:
        """What it is called where only one of its group stands."""
        return self.group if self.case == OURS else f"{self.group}: {self.case}"

    @property
    def best(self) -> float:
        """The sample that is judged."""
        return max(self.samples) if self.higher_is_better else min(self.samples)

    @property
    def worst(self) -> float:
        """The other end of the spread."""
        return min(self.samples) if self.higher_is_better else max(self.samples)

    @property
    def median(self) -> float:
        """What to expect."""
        return statistics.median(self.samples)

    def times_better_than(self, other: Figure) -> float:
        """Return how many times this one is better, best against best."""
        own, others = self.best, other.best
        if self.higher_is_better:
            own, others = others, own
        return others / own if own > 0 else float("inf")


class Kind(StrEnum):
    """What a judgement is about."""

    FLOOR = "floor"
    MUST = "must"
    AIM = "aim"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One demand and whether it holds; None: the peer was not there to compare with.

    `demand` is in words, `short` for a table that has the unit already.
    """

    group: str
    kind: Kind
    demand: str
    short: str
    found: float
    holds: bool | None


def judge(figures: list[Figure]) -> list[Judgement]:
    """Return every judgement over the figures of a run."""
    return [found for figure in figures if figure.goal for found in _judge_one(figure, figures)]


def _judge_one(figure: Figure, figures: list[Figure]) -> list[Judgement]:
    goal = figure.goal
    assert goal is not None
    found = [
        _limit(figure, kind, limit)
        for kind, limit in ((Kind.FLOOR, goal.floor), (Kind.MUST, goal.must), (Kind.AIM, goal.aim))
        if limit is not None
    ]
    peers = {other.case: other for other in figures if other.group == figure.group}
    for name, times in goal.ahead.items():
        peer = peers.get(name)
        ratio = figure.times_better_than(peer) if peer else 0.0
        found.append(
            Judgement(
                group=figure.group,
                kind=Kind.MUST,
                demand=f"ahead of {name}" if times == 1 else f"{times:g} times {name}",
                short=f"> {name}" if times == 1 else f"{times:g}x {name}",
                found=ratio,
                holds=None if peer is None else ratio >= times,
            )
        )
    return found


def _limit(figure: Figure, kind: Kind, limit: float) -> Judgement:
    best = figure.best
    holds = best >= limit if figure.higher_is_better else best <= limit
    sign = "at least" if figure.higher_is_better else "at most"
    return Judgement(
        group=figure.group,
        kind=kind,
        demand=f"{sign} {limit:g} {figure.unit}",
        short=f"{'≥' if figure.higher_is_better else '≤'} {limit:g}",
        found=best,
        holds=holds,
    )


def merge(figures: list[Figure], more: list[Figure]) -> list[Figure]:
    """Return the figures of two tries of one scenario, with the samples of both."""
    found = {(figure.group, figure.case): figure for figure in figures}
    for figure in more:
        earlier = found.setdefault((figure.group, figure.case), figure)
        if earlier is not figure:
            earlier.samples += figure.samples
    return list(found.values())
