"""The results as one HTML page that needs nothing else: tables, plots, light and dark."""

from __future__ import annotations

from html import escape
from typing import Final

from benchmarks.harness.figure import OURS, Figure, Judgement, Kind
from benchmarks.harness.machine import describe
from benchmarks.harness.plots import chart
from benchmarks.harness.session import Outcome, Results
from benchmarks.harness.words import number, times

_STYLE: Final = """
:root { color-scheme: light dark; --back: #fcfcfb; --text: #1d2327; --dim: #667078;
  --line: #dde1e4; --ours: #2468b2; --peer: #b9c2ca; --ok: #1c7c4c; --bad: #b3312b;
  --mark: #1d2327; }
@media (prefers-color-scheme: dark) { :root { --back: #15181b; --text: #e4e7ea; --dim: #96a0a9;
  --line: #2e3439; --ours: #5aa0ec; --peer: #4c565f; --ok: #57c48a; --bad: #f0746c;
  --mark: #f5f7f9; } }
body { background: var(--back); color: var(--text); max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2.5rem 0 0; }
h3 { font-size: .95rem; font-weight: 600; margin: 1.2rem 0 .2rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); } code { font-size: .9em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: var(--dim); }
.ok { color: var(--ok); } .bad { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--text); }
.grid { stroke: var(--line); } .tick { text-anchor: middle; fill: var(--dim); font-size: 11px; }
.case { text-anchor: end; } .value { font-variant-numeric: tabular-nums; }
.ours { fill: var(--ours); } .peer { fill: var(--peer); }
.spread { stroke: var(--mark); stroke-width: 1.5; opacity: .75; } .median { fill: var(--mark); }
.must { stroke: var(--bad); stroke-width: 1.5; } .aim { stroke: var(--ok); stroke-width: 1.5; }
.floor { stroke: var(--dim); stroke-width: 1.5; stroke-dasharray: 3 3; }
.limit { text-anchor: middle; font-size: 10px; fill: var(--dim); }
.of-floor { text-anchor: start; }
"""

_INTRO: Final = """
<p>Peers were measured in this run, in turn with ours. Judged is the best of all samples, because
on a shared machine a neighbour can only make a figure worse; the median says what to expect.
Ratios are best against best. A figure belongs to a machine; only ratios travel.</p>
<p class="dim">In the plots: bar = best, dot = median, line = spread; logarithmic scale.</p>
"""


def page(results: Results) -> str:
    """Return the whole page."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    body = [
        "<h1>What it costs, beside its peers</h1>",
        f"<p>{escape(describe(results.machine))}</p>",
        f'<p class="dim">{escape(versions)}; size of the run: {results.size.value}</p>',
        _INTRO,
        _summary(results),
        *(_section(outcome) for outcome in results.outcomes),
    ]
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Benchmarks</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _summary(results: Results) -> str:
    head = ["what", "unit", "best", "median", "must", "aim", "nearest peer"]
    rows = [
        _summary_row(figure, outcome) for outcome in results.outcomes for figure in outcome.leads
    ]
    return f'<div class="scroll"><table>{_row(head, "th")}{"".join(rows)}</table></div>'


def _summary_row(figure: Figure, outcome: Outcome) -> str:
    own = [one for one in outcome.judgements if one.group == figure.group]
    rivals = [one for one in outcome.figures if one.group == figure.group and one.is_peer]
    rivals = rivals if figure.case == OURS else []
    nearest = min(rivals, key=figure.times_better_than, default=None)
    peer = f"{escape(nearest.case)} {times(figure.times_better_than(nearest))}" if nearest else ""
    cells = [
        escape(figure.title), escape(figure.unit), number(figure.best), number(figure.median),
        _demands(own, Kind.MUST), _demands(own, Kind.AIM), peer,
    ]  # fmt: skip
    return _row(cells, "td")


def _demands(judgements: list[Judgement], kind: Kind) -> str:
    return "<br>".join(_demand(one) for one in judgements if one.kind is kind)


def _demand(one: Judgement) -> str:
    missed = "dim" if one.kind is Kind.AIM else "bad"
    name = "dim" if one.holds is None else "ok" if one.holds else missed
    mark = "?" if one.holds is None else "✓" if one.holds else "✗"
    return f'<span class="{name}" title="{escape(one.demand)}">{escape(one.short)} {mark}</span>'


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


def _section(outcome: Outcome) -> str:
    scenario = outcome.scenario
    parts = [f"<h2><code>{escape(scenario.name)}</code></h2><p>{escape(scenario.about)}</p>"]
    if outcome.failed:
        parts.append(f'<p class="bad">not measured: {escape(outcome.failed)}</p>')
    for group in dict.fromkeys(figure.group for figure in outcome.figures):
        figures = [figure for figure in outcome.figures if figure.group == group]
        parts.append(f"<h3>{escape(group)}</h3>{chart(figures)}{_table(figures)}")
    lines = [f"skipped: {line}" for line in outcome.skipped] + outcome.remarks
    parts += [f'<p class="dim">{escape(line)}</p>' for line in lines]
    parts.append(f'<p class="dim">load {outcome.load:.1f} when it began</p>')
    return "".join(parts)


def _table(figures: list[Figure]) -> str:
    own = next((figure for figure in figures if figure.case == OURS), None)
    unit = escape(figures[0].unit)
    rows = [_row([unit, "best", "median", "worst", "samples", "ours is better"], "th")]
    for figure in figures:
        ratio = times(own.times_better_than(figure)) if own and figure.is_peer else ""
        cells = [
            escape(f"{figure.case} {figure.note}".strip()), number(figure.best),
            number(figure.median), number(figure.worst), str(len(figure.samples)), ratio,
        ]  # fmt: skip
        rows.append(_row(cells, "td"))
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'
