"""What a scenario is given: its size, its clock, its child processes, and where figures go.

Everything that a scenario starts through `children` is dead when it ends, however it ends.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from benchmarks.harness.children import Children
from benchmarks.harness.figure import OURS, Figure, Goal

T = TypeVar("T")

#: Of a scenario's time, the part after which no further round is begun.
_ROUNDS_SHARE: Final = 0.7


class Size(StrEnum):
    """How much is measured."""

    TINY = "tiny"  # only see that it runs
    QUICK = "quick"  # a coarse figure within seconds
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One contender: `measure` returns a sample of each quantity, by the quantity's name.

    `package` is what it needs to be importable; without it the case is skipped, and that is said.
    """

    name: str
    measure: Callable[[], Mapping[str, float]]
    package: str | None = None


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One quantity that every case of a comparison yields, and what is asked of ours."""

    key: str
    group: str
    unit: str
    higher_is_better: bool = False
    goal: Goal | None = None


class Bench:
    """One try of one scenario."""

    def __init__(self, size: Size, *, seconds_max: float) -> None:
        self.size = size
        self.figures: list[Figure] = []
        self.skipped: list[str] = []
        self.remarks: list[str] = []
        self.stack = ExitStack()
        self.children = self.stack.enter_context(Children())
        self._rounds_end_s = time.monotonic() + seconds_max * _ROUNDS_SHARE

    def pick(self, *, tiny: T, quick: T, full: T) -> T:
        """Return what fits this size."""
        return {Size.TINY: tiny, Size.QUICK: quick, Size.FULL: full}[self.size]

    def has(self, package: str, case: str) -> bool:
        """Return whether a peer's package is there; note it when it is not."""
        if importlib.util.find_spec(package) is not None:
            return True
        self.skipped.append(f"{case}: the package {package} is missing; pip install '.[bench]'")
        return False

    def rounds(self, count: int, *, least: int = 1) -> Iterator[int]:
        """Yield round numbers, fewer when the scenario's time is used up."""
        for number in range(count):
            if number >= least and time.monotonic() > self._rounds_end_s:
                return
            yield number

    def compare(
        self, cases: Sequence[Case], quantities: Sequence[Quantity], *, rounds: int
    ) -> None:
        """Measure the cases in turn, round after round, and note the figures.

        In turn, so that a neighbour's burst meets all of them alike.
        """
        present = [one for one in cases if one.package is None or self.has(one.package, one.name)]
        samples: dict[tuple[str, str], list[float]] = {}
        for number in self.rounds(rounds):
            # The order turns, so that nobody always comes after the same neighbour.
            turn = number % max(1, len(present))
            for case in present[turn:] + present[:turn]:
                for key, value in case.measure().items():
                    samples.setdefault((case.name, key), []).append(value)
        for quantity in quantities:
            for case in present:
                if found := samples.get((case.name, quantity.key)):
                    self.note(quantity, case.name, found)

    def note(self, quantity: Quantity, case: str, samples: list[float], note: str = "") -> None:
        """Add a figure; the goal of a quantity is asked of our own case alone."""
        self.figures.append(
            Figure(
                group=quantity.group,
                case=case,
                unit=quantity.unit,
                samples=samples,
                note=note,
                higher_is_better=quantity.higher_is_better,
                goal=quantity.goal if case == OURS else None,
            )  # fmt: skip
        )


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A named measurement; `about` says in one line what it measures."""

    name: str
    about: str
    run: Callable[[Bench], None]
    seconds_max: float = 40.0
