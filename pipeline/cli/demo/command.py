"""`python -m pipeline demo`: the whole pipeline against the simulated exchange, with a verdict.

Floor 6. Everything is the real thing: the main job with a config file, strategies that attach by
name. The verdict compares the exchange's log of what it sent with what the fast strategy itself
logged; no counter of the pipeline is believed.
"""

from __future__ import annotations

import signal
import textwrap
from typing import Annotated

import typer

from pipeline.cli.demo.options import (
    SECONDS_MAX,
    SECONDS_MIN,
    DemoOptions,
    instruments_for,
    parse_rate,
)
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.exit_codes import ExitCode


def command(
    name: Annotated[
        str | None, typer.Argument(help="One of `--list`; without it the whole pipeline.")
    ] = None,
    list_demos: Annotated[bool, typer.Option("--list", help="Name the demos there are.")] = False,
    seconds: Annotated[
        float | None, typer.Option(help=f"How long; the whole pipeline's at least {SECONDS_MIN}.")
    ] = None,
    rate: Annotated[str, typer.Option(metavar="N|max", help="Ticks per second.")] = "18000",
    connections: Annotated[int, typer.Option(help="WebSocket connections, 1 to 9.")] = 3,
    instruments: Annotated[
        int | None, typer.Option(help="Instruments, 3,000 a connection.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Prices, sizes and order follow from it.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Show the whole pipeline at work against the simulated exchange, and check it.

    Half-way the exchange resets one connection and goes mute on another.
    Exit code 0 only if every tick is accounted for and nothing is left behind.
    With NAME a short program of examples/pool beside a pool: then only
    --seconds matters.
    """
    if list_demos:
        _list()
        return
    if name is not None:
        given = {
            "--rate": rate != "18000", "--connections": connections != DemoOptions().connections,
            "--instruments": instruments is not None, "--seed": seed != DemoOptions().seed,
            "--json": as_json,
        }  # fmt: skip
        _refuse_with_name(name, [option for option, is_given in given.items() if is_given])
        raise typer.Exit(_play(name, seconds))
    options = DemoOptions(
        seconds=DemoOptions().seconds if seconds is None else seconds,
        rate=parse_rate(rate),
        connections=connections,
        instruments=instruments_for(connections) if instruments is None else instruments,
        seed=seed,
        as_json=as_json,
    ).checked()
    raise typer.Exit(_run(options))


def _list() -> None:
    from pipeline.cli.demo.examples import summaries

    found = summaries()
    width = max(map(len, found))
    for name, summary in found.items():
        print(textwrap.fill(f"{name:{width}}  {summary}", 80, subsequent_indent=" " * (width + 2)))


def _refuse_with_name(name: str, given: list[str]) -> None:
    """Raise ConfigError for options that a demo by name would not heed."""
    allowed = "nothing but --seconds with a NAME"
    problems = [Problem(option, f"beside {name}", allowed) for option in given]
    if problems:
        raise ConfigError("demo", problems)


def _play(name: str, seconds: float | None) -> int:
    from pipeline.cli.demo.examples import play

    if seconds is not None and not 0 < seconds <= SECONDS_MAX:
        allowed = f"more than 0, and {SECONDS_MAX} at most"
        raise ConfigError("demo", [Problem("--seconds", f"{seconds:g}", allowed)])
    _end_by_interrupt()
    try:
        return play(name, seconds)
    except KeyboardInterrupt:
        return _interrupted()


def _end_by_interrupt() -> None:
    """Whoever ends the demo, by Ctrl-C, kill, or closing the terminal: it clears up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            signal.signal(number, signal.default_int_handler)


def _interrupted() -> int:
    typer.echo("interrupted: everything has been ended and removed", err=True)
    return int(ExitCode.INTERRUPTED)


def _run(options: DemoOptions) -> int:
    from pipeline.cli.demo.act import Act
    from pipeline.cli.demo.live import LiveView
    from pipeline.cli.demo.stage import Stage
    from pipeline.cli.demo.summary import print_json, print_text, report
    from pipeline.cli.demo.verdict import judge

    _end_by_interrupt()
    try:
        with LiveView(options) as view:
            view.say("starting the exchange, the pipeline and two strategies ...")
            with Stage(options) as stage:
                if stage.page:
                    view.tell(f"in a browser: {stage.page}")
                act = Act(stage, options, view.show)
                act.play()
                view.say("ending, and comparing the logs ...")
                stage.end()
                outcome = judge(stage.folder)
                outcome.problems += stage.bad_ends()
            result = report(act, outcome, stage.leftovers())
    except KeyboardInterrupt:
        return _interrupted()
    print_json(result) if options.as_json else print_text(result)
    return int(ExitCode.DONE if result["passed"] else ExitCode.FAILED)
