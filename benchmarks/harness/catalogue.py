"""Which scenarios there are, in the order in which they run and are shown."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from benchmarks.harness.bench import Scenario

MODULES: Final = (
    "decode", "ring", "websocket", "wakes", "paced", "end_to_end", "latency", "idle",
    "decoder_kill", "outages", "start", "scaling", "transport", "planning", "control_api",
    "control_cost", "gateway",
)  # fmt: skip


class UnknownScenario(ValueError):
    """A name that is no scenario's, nor the beginning of one."""


def scenarios() -> list[Scenario]:
    """Return all of them."""
    found: list[Scenario] = []
    for name in MODULES:
        found += importlib.import_module(f"benchmarks.scenarios.{name}").SCENARIOS
    return found


def select(names: Sequence[str]) -> list[Scenario]:
    """Return those with one of `names`, or that begin with one and a dash; all of them for none.

    Raises UnknownScenario with what there is.
    """
    known = scenarios()
    for name in names:
        if not any(_answers(one, name) for one in known):
            listed = ", ".join(one.name for one in known)
            raise UnknownScenario(f"{name!r}: no scenario begins so; there are {listed}")
    return [one for one in known if not names or any(_answers(one, name) for name in names)]


def _answers(scenario: Scenario, name: str) -> bool:
    return scenario.name == name or scenario.name.startswith(f"{name}-")
