"""What `python -m pipeline bench` does, once its options are read: run, show, judge.

Progress goes to stderr, results to stdout, so that `--json` can be piped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.harness import catalogue, export, text
from benchmarks.harness.bench import Scenario, Size
from benchmarks.harness.figure import Kind
from benchmarks.harness.session import Outcome, Results, run_scenarios

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. `gate` is the kind of demand that decides the exit code, None for none."""

    names: Sequence[str] = ()
    size: Size = Size.FULL
    gate: Kind | None = Kind.MUST
    tries: int = 1
    as_json: bool = False
    only_list: bool = False
    report: Path | None = None
    markdown: Path | None = None


def main(options: Options) -> int:
    """Run the chosen scenarios; return 0 when every demand of the gate holds, else 1."""
    try:
        chosen = catalogue.select(options.names)
    except catalogue.UnknownScenario as error:
        print(error, file=sys.stderr)
        return USAGE
    if options.only_list:
        _list(chosen, as_json=options.as_json)
        return DONE
    try:
        results = run_scenarios(
            chosen, options.size, tries=options.tries, gate=options.gate,
            on_begin=_say_begin, on_end=_say_end,
        )  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted; everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    _show(results, options)
    return DONE if options.gate is None or results.holds(options.gate) else FAILED


def _list(chosen: Sequence[Scenario], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"name": one.name, "about": one.about} for one in chosen]))
        return
    for one in chosen:
        print(f"{one.name:<24} {one.about}")


def _say_begin(scenario: Scenario) -> None:
    print(f"{scenario.name} ...", end=" ", file=sys.stderr, flush=True)


def _say_end(outcome: Outcome) -> None:
    missed = len(outcome.missed(Kind.MUST))
    verdict = outcome.failed or (f"{missed} missed" if missed else "ok")
    print(f"{verdict} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)


def _show(results: Results, options: Options) -> None:
    if options.as_json:
        print(json.dumps(export.as_json(results), indent=1))
    else:
        print("\n".join(text.lines(results)))
    if options.markdown is not None:
        options.markdown.write_text(export.as_markdown(results))
    if options.report is not None:
        from benchmarks.harness.page import page

        options.report.write_text(page(results))
        print(f"wrote {options.report}", file=sys.stderr)
