"""`sim`: the simulated exchange alone; `sim truth FILE`: what it has sent. Floor 6."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.core.clock import format_ist
from pipeline.core.errors import ConfigError, Problem
from pipeline.sim.options import LOAD, REAL_TIME, SimulatorOptions

command = typer.Typer(invoke_without_command=True)

_SLICE = 10_000

Fraction = Annotated[float, typer.Option("--interval", help="real-time: seconds between frames")]


@command.callback()
def sim(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 0,
    instruments: Annotated[int, typer.Option(help="how many are listed")] = 9000,
    seed: Annotated[int, typer.Option(help="prices and chaos follow from it")] = 1,
    mode: Annotated[str, typer.Option(help=f"{REAL_TIME} or {LOAD}")] = REAL_TIME,
    rate: Annotated[
        str | None,
        typer.Option(help="ticks/s of all connections, or max; absent: half of all move / max"),
    ] = None,
    interval: Fraction = 1.0,
    packets_per_frame: Annotated[int, typer.Option(help="load: packets in a frame")] = 100,
    connection_limit: Annotated[int, typer.Option(help="connections of one API key")] = 3,
    limit_policy: Annotated[
        str, typer.Option(help="one more is refused (429), evicts the oldest, or is let in (soft)")
    ] = "refuse",
    truth: Annotated[Path | None, typer.Option(help="log what was sent to this file")] = None,
    faults: Annotated[Path | None, typer.Option(help="script of faults, TOML or JSON")] = None,
    control: Annotated[Path | None, typer.Option(help="Unix socket that takes actions")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="serve wss:// with this chain")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="and this key")] = None,
    gate: Annotated[str | None, typer.Option(help="load: wait for this reader")] = None,
    instance_directory: Annotated[
        Path | None, typer.Option(help="the folder of the instance it reads")
    ] = None,
) -> None:
    """Serve Kite's streaming protocol until SIGINT or SIGTERM; keys: demo, demo2, demo3."""
    if context.invoked_subcommand is not None:
        return
    from pipeline.sim.server import run_simulator

    options = SimulatorOptions(
        host=host,
        port=port,
        instruments=instruments,
        seed=seed,
        mode=mode,
        rate=_rate(rate, mode, instruments, interval),
        interval_s=interval,
        packets_per_frame=packets_per_frame,
        connection_limit=connection_limit,
        limit_policy=limit_policy,
        truth=truth,
        faults=faults,
        control=control,
        tls_cert=tls_cert,
        tls_key=tls_key,
        gate=gate,
        instance_directory=instance_directory,
    )

    def announce(port: int) -> None:
        print(f"listening on {'wss' if tls_cert else 'ws'}://{host}:{port}", flush=True)

    raise typer.Exit(run_simulator(options, announce=announce))


def _rate(text: str | None, mode: str, instruments: int, interval_s: float) -> float | None:
    if text is None:
        return None if mode == LOAD or interval_s <= 0 else instruments / 2 / interval_s
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        problem = Problem("--rate", repr(text), "a number of ticks/s, or max")
        raise ConfigError("simulator", [problem]) from None


@command.command("truth")
def truth_command(
    file: Annotated[Path, typer.Argument(help="what sim --truth wrote", metavar="FILE")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    records: Annotated[bool, typer.Option("--records", help="every record, a line each")] = False,
) -> None:
    """Print what a truth log holds: a summary, or all its records."""
    from pipeline.sim.truth import read_about, read_truth, summarise

    if not file.is_file():
        raise ConfigError("sim truth", [Problem("FILE", str(file), "a file that exists")])
    found = read_truth(file)
    if records:
        for line in _lines(found):
            print(json.dumps(line) if as_json else " ".join(f"{k}={v}" for k, v in line.items()))
        return
    summary = {"file": str(file), **read_about(file), **summarise(found)}
    if as_json:
        json.dump(summary, sys.stdout)
        print()
        return
    print(f"{file}: {summary['packets']} packets")
    if not summary["packets"]:
        return
    first, last = format_ist(summary["first_ts_ns"]), format_ist(summary["last_ts_ns"])
    print(f"from {first} to {last}, {summary['instruments']} instruments")
    for row in summary["sessions"]:
        print(
            f"  session {row['session']} (connection {row['connection']}): "
            f"{row['frames']} frames, {row['packets']} packets, {row['instruments']} instruments"
        )


def _lines(records: Any) -> Iterator[dict[str, object]]:
    names = [name for name in records.dtype.names if name != "reserved"]
    for start in range(0, len(records), _SLICE):
        for row in records[start : start + _SLICE].tolist():
            fields = dict(zip(records.dtype.names, row, strict=True))
            yield {name: fields[name] for name in names}
