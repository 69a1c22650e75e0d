"""The results as text for a terminal."""

from __future__ import annotations

from typing import Final

from benchmarks.harness.figure import OURS, Figure, Judgement, Kind
from benchmarks.harness.machine import describe
from benchmarks.harness.session import Outcome, Results
from benchmarks.harness.words import number, times

_NOT_JUDGED: Final = "not judged: the peer is missing"


def lines(results: Results) -> list[str]:
    """Return everything that was found, a group after the other, each with its demands."""
    found = [describe(results.machine)]
    found.append(", ".join(f"{name} {version}" for name, version in results.versions.items()))
    found.append("best of all samples (what is judged), median, worst; peers: best against best")
    for outcome in results.outcomes:
        found += ["", *_outcome_lines(outcome)]
    return found


def _outcome_lines(outcome: Outcome) -> list[str]:
    scenario = outcome.scenario
    found = [f"{scenario.name}: {scenario.about} (load {outcome.load:.1f})"]
    if outcome.failed:
        found.append(f"  FAILED: {outcome.failed}")
    judgements = outcome.judgements
    for group in dict.fromkeys(figure.group for figure in outcome.figures):
        figures = [figure for figure in outcome.figures if figure.group == group]
        own = next((figure for figure in figures if figure.case == OURS), None)
        found.append(f"  {group} [{figures[0].unit}]")
        found += [_figure_line(figure, own) for figure in figures]
        found += [_judgement_line(one) for one in judgements if one.group == group]
    found += [f"  skipped: {line}" for line in outcome.skipped]
    return found + [f"  {line}" for line in outcome.remarks]


def _figure_line(figure: Figure, own: Figure | None) -> str:
    line = (
        f"    {figure.case:<34} {number(figure.best):>10} {number(figure.median):>10} "
        f"{number(figure.worst):>10}"
    )
    if own is not None and figure.is_peer:
        line += f"   {times(own.times_better_than(figure))}"
    return f"{line}   {figure.note}".rstrip()


def _judgement_line(one: Judgement) -> str:
    missed = "not reached" if one.kind is Kind.AIM else "MISSED"
    verdict = _NOT_JUDGED if one.holds is None else "ok" if one.holds else missed
    return f"      {one.kind.value}: {one.demand}; {number(one.found)}: {verdict}"
