"""`bench`: what everything costs, beside its peers, measured in one run. Floor 6.

The scenarios live in `benchmarks/`, beside the package in a source tree and not in a wheel; they
are imported by name, so that nothing here depends on them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.core.exit_codes import ExitCode

_HARNESS: Final = "benchmarks.harness.command"
_ROOT: Final = Path(__file__).parents[2]
_FASTER_FIFO: Final = "faster-fifo"


def command(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="names, or how they begin; none: all of them")
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="only say which there are")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="coarse figures, in seconds")] = False,
    tiny: Annotated[bool, typer.Option("--tiny", help="only see that they run")] = False,
    transport: Annotated[
        str | None, typer.Option(help=f"{_FASTER_FIFO}: the pipeline over its queue, beside ours")
    ] = None,
    tries: Annotated[
        int, typer.Option(min=1, max=10, help="of a scenario that misses a demand")
    ] = 1,
    floor: Annotated[
        bool, typer.Option("--floor", help="exit 1 below the floor only, not below the must")
    ] = False,
    no_gate: Annotated[bool, typer.Option("--no-gate", help="exit 0 whatever was found")] = False,
    report: Annotated[Path | None, typer.Option(help="write a page with plots")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write tables for a document")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure this machine's pipeline beside its peers; exit 0 when every must holds."""
    if not _has_benchmarks():
        print(
            "the benchmarks come with the source tree, not with the installed package: run "
            "python -m pipeline bench in a checkout",
            file=sys.stderr,
        )
        raise typer.Exit(ExitCode.FAILED)
    names = list(scenarios or [])
    if transport is not None:
        if transport != _FASTER_FIFO:
            raise typer.BadParameter(f"{transport!r}: {_FASTER_FIFO} is what there is")
        names.append("transport")
    harness = importlib.import_module(_HARNESS)
    options = harness.Options(
        names=names,
        size=harness.Size("tiny" if tiny else "quick" if quick else "full"),
        gate=None if no_gate else harness.Kind("floor" if floor else "must"),
        tries=tries,
        as_json=as_json,
        only_list=only_list,
        report=report,
        markdown=markdown,
    )
    raise typer.Exit(harness.main(options))


def _has_benchmarks() -> bool:
    """Return whether the benchmarks beside this package can be imported."""
    if not (_ROOT / "benchmarks" / "harness").is_dir():
        return False
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    return importlib.util.find_spec("benchmarks") is not None
