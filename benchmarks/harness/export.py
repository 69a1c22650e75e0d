"""The results for programs (JSON) and for documents (Markdown)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.harness.figure import OURS, Figure, Judgement, Kind
from benchmarks.harness.machine import describe
from benchmarks.harness.session import Outcome, Results
from benchmarks.harness.words import number, times


def as_json(results: Results) -> dict[str, Any]:
    """Return the whole run in JSON's types: every sample, every demand."""
    return {
        "size": results.size.value,
        "machine": results.machine,
        "versions": results.versions,
        "holds": {kind.value: results.holds(kind) for kind in Kind},
        "scenarios": [_scenario_json(outcome) for outcome in results.outcomes],
    }


def _scenario_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.scenario.name,
        "about": outcome.scenario.about,
        "failed": outcome.failed,
        "seconds": round(outcome.seconds, 2),
        "tries": outcome.tries,
        "load_1min": round(outcome.load, 2),
        "skipped": outcome.skipped,
        "remarks": outcome.remarks,
        "figures": [
            {
                "group": figure.group, "case": figure.case, "unit": figure.unit,
                "higher_is_better": figure.higher_is_better, "is_peer": figure.is_peer,
                "best": figure.best, "median": figure.median, "worst": figure.worst,
                "samples": figure.samples, "note": figure.note,
            }
            for figure in outcome.figures
        ],
        "judgements": [{**asdict(one), "kind": one.kind.value} for one in outcome.judgements],
    }  # fmt: skip


def as_markdown(results: Results) -> str:
    """Return a table with a line for each figure of ours, for tuning.md."""
    found = [
        f"Measured by `python -m pipeline bench` on: {describe(results.machine)}.",
        ", ".join(f"{name} {version}" for name, version in results.versions.items()) + ".",
        "",
        "| what | unit | best | median | worst | must | aim | peers, times worse | scenario |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for outcome in results.outcomes:
        judgements = outcome.judgements
        found += [_row(figure, outcome, judgements) for figure in outcome.leads]
        if outcome.failed:
            found.append(
                f"| {outcome.scenario.name} | | not measured: {outcome.failed} | | | | | | |"
            )
    found.append("")
    found += [f"- {line}" for outcome in results.outcomes for line in outcome.remarks]
    return "\n".join(found) + "\n"


def _row(figure: Figure, outcome: Outcome, judgements: list[Judgement]) -> str:
    goal = figure.goal
    own = [one for one in judgements if one.group == figure.group]
    missed = any(one.kind is Kind.MUST and one.holds is False for one in own)
    must = ", ".join(one.short for one in own if one.kind is Kind.MUST)
    peers = ", ".join(
        f"{other.case} {times(figure.times_better_than(other))}"
        for other in outcome.figures
        if other.group == figure.group and other.is_peer and figure.case == OURS
    )
    aim = number(goal.aim) if goal is not None and goal.aim is not None else ""
    cells = [
        figure.title, figure.unit, number(figure.best), number(figure.median),
        number(figure.worst), must + (" (missed)" if missed else ""), aim, peers,
        f"`{outcome.scenario.name}`",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"
