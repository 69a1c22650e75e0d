"""`instruments sync | find | show`: the instrument list on this machine. Floor 6.

Nothing is asked of a broker unless a command says so.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from pipeline.brokers.registry import load_broker
from pipeline.cli.configuration import read_config
from pipeline.core.clock import IST
from pipeline.core.errors import BadInstruments, PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.instrument import Instrument, Skips
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.resolving import Resolved
from pipeline.instruments.store import (
    LIST_ADDRESS,
    SIMULATED,
    ListInfo,
    age_warning,
    default_file,
    today_in_india,
    write_store,
)
from pipeline.instruments.synthetic import ROWS, synthetic_instruments
from pipeline.rest.accounts import open_governor, open_rest

command = typer.Typer(no_args_is_help=True)

_SHOWN_MAX: Final = 50
_PIPED_WIDTH: Final = 160
_OPENALGO_WIDTH_MIN: Final = 100

File = Annotated[
    Path | None, typer.Option("--file", help="the list, if it is not in the default place")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="take \\[instruments] file from this config"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


class BadUsage(PipelineError):
    """Options that do not go together."""

    exit_code = ExitCode.USAGE


@command.command()
def sync(
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Kite's instrument list, offline")
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="make up a list for the simulated exchange")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, max=ROWS, help="of a made-up list")] = ROWS,
    seed: Annotated[int, typer.Option(min=0, help="of a made-up list")] = 1,
    account: Annotated[
        str | None, typer.Option(help="ask the broker, with this account of --config")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="replace the old list by a smaller or broken one, too")
    ] = False,
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Replace the instrument list of this machine: from a CSV file, made up, or the broker's.

    Only with --account is anybody asked.
    """
    if (csv is not None) + simulated + (account is not None) != 1 or (account and not config):
        raise BadUsage(
            "instruments sync: say where from, one of --csv FILE (Kite's list, which is at "
            f"{LIST_ADDRESS}), --simulated, or --account NAME --config FILE (asks the broker)"
        )
    place = list_file(file, config)
    if csv is not None:
        info, skips = sync_csv(csv, place, force=force)
    elif account is not None and config is not None:
        info, skips = sync_account(config, account, place, force=force)
    else:
        skips = Skips()
        day = today_in_india()
        info = write_store(
            synthetic_instruments(day, rows=rows, seed=seed),
            file=place,
            source=f"{SIMULATED}, seed {seed}",
            day=day,
            force=force,
        )
    _tell_synced(info, skips, as_json=as_json)


def sync_csv(csv: Path, file: Path, *, force: bool) -> tuple[ListInfo, Skips]:
    """Replace the list in `file` by a CSV file, which is of the day on which it was written."""
    skips = Skips()
    try:
        with csv.open(encoding="utf-8", errors="replace", newline="") as lines:
            day = datetime.fromtimestamp(csv.stat().st_mtime, IST).date()
            found = load_broker("kite").read_instruments(lines, skips)
            info = write_store(
                found, file=file, source=f"csv {csv.name}", day=day, skips=skips, force=force
            )
    except OSError as error:
        raise BadInstruments(f"{csv}: {error.strerror}; expected a file that can be read") from None
    return info, skips


def sync_account(config: Path, name: str, file: Path, *, force: bool) -> tuple[ListInfo, Skips]:
    """Replace the list in `file` by what the broker of an account gives; one governed call."""
    found = read_config(config)
    try:
        account = found.account(name)
    except KeyError:
        known = ", ".join(account.name for account in found.accounts)
        raise BadUsage(f"--account {name!r}: expected one of {known}") from None
    with open_rest(found, account, open_governor(found, account.broker)) as rest:
        text = rest.instruments()
    skips = Skips()
    kind = SIMULATED if account.simulated else account.broker
    info = write_store(
        load_broker(account.broker).read_instruments(StringIO(text, newline=""), skips),
        file=file,
        source=f"{kind}, account {name}",
        skips=skips,
        force=force,
    )
    return info, skips


def _tell_synced(info: ListInfo, skips: Skips, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**info_dict(info), "skipped_examples": skips.examples}))
        return
    print(f"{info.file}: {info.rows} instruments of {info.day}, {info.source}")
    if skips.count:
        print(f"{skips.count} rows were skipped: {'; '.join(skips.examples)}", file=sys.stderr)


@command.command()
def find(
    text: Annotated[list[str], typer.Argument(help="words that occur in symbol or name")],
    limit: Annotated[int, typer.Option(min=1, help="at most so many")] = _SHOWN_MAX,
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Search the list: every word must occur in an instrument's symbol or name."""
    catalogue = _open(file, config)
    found = catalogue.search(" ".join(text))
    if as_json:
        print(json.dumps([as_dict(catalogue, row) for row in found[:limit]]))
    else:
        _print_table(catalogue, found[:limit])
        if len(found) > limit:
            print(f"{len(found)} found, {limit} shown: --limit {len(found)} shows all")
    if not found:
        near = catalogue.near(" ".join(text))
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        print(f"nothing found for {' '.join(text)!r}{hint}", file=sys.stderr)
        raise typer.Exit(ExitCode.FAILED)


@command.command()
def show(
    form: Annotated[
        list[str],
        typer.Argument(help="NSE:INFY, 408065, NSE:#1594, NFO:NIFTY@weekly:24600+-10:CE, ..."),
    ],
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what each form stands for; exit code 1 if any is unknown."""
    catalogue = _open(file, config)
    resolved = catalogue.resolve(form)
    found = [catalogue.find(token) for token in resolved.tokens]
    if as_json:
        print(json.dumps(_resolved_dict(catalogue, resolved, found)))
    else:
        _print_table(catalogue, found)
        for expansion in resolved.expanded:
            days = ", ".join(map(str, expansion.expiries))
            spot = f", spot {expansion.spot:g}" if expansion.spot is not None else ""
            print(f"{expansion.form}: {len(expansion.instruments)} instruments, {days}{spot}")
    for unknown in resolved.unknown:
        print(unknown, file=sys.stderr)
    if resolved.unknown:
        raise typer.Exit(ExitCode.FAILED)


def list_file(file: Path | None, config: Path | None) -> Path:
    """Return which list is meant: the named one, the config's, or the default one."""
    if file is not None:
        return file
    found = None if config is None else read_config(config).instruments_file
    return found or default_file()


def _open(file: Path | None, config: Path | None) -> Catalogue:
    catalogue = load(list_file(file, config))
    warning = age_warning(catalogue.info)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    return catalogue


def info_dict(info: ListInfo) -> dict[str, Any]:
    """Return what a list says about itself in JSON's types."""
    return {
        "file": str(info.file),
        "day": info.day.isoformat(),
        "source": info.source,
        "rows": info.rows,
        "skipped": info.skipped,
    }


def as_dict(catalogue: Catalogue, found: Instrument) -> dict[str, Any]:
    """Return an instrument in JSON's types, with its names."""
    return {"key": found.key, "openalgo": catalogue.openalgo_key(found), **found._asdict()}


def _resolved_dict(
    catalogue: Catalogue, resolved: Resolved, found: list[Instrument]
) -> dict[str, Any]:
    return {
        "list": info_dict(catalogue.info),
        "instruments": [as_dict(catalogue, row) for row in found],
        "expanded": [
            {
                "form": expansion.form,
                "tokens": [row.instrument_token for row in expansion.instruments],
                "expiries": [day.isoformat() for day in expansion.expiries],
                "spot": expansion.spot,
            }
            for expansion in resolved.expanded
        ],
        "unknown": [
            {"form": unknown.form, "reason": unknown.reason, "near": list(unknown.near)}
            for unknown in resolved.unknown
        ],
    }


def _print_table(catalogue: Catalogue, found: list[Instrument]) -> None:
    if not found:
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    with_openalgo = console.width >= _OPENALGO_WIDTH_MIN
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("token", justify="right", no_wrap=True)
    table.add_column("name", no_wrap=True)
    if with_openalgo:
        table.add_column("OpenAlgo", no_wrap=True)
    table.add_column("of")
    table.add_column("expiry", no_wrap=True)
    table.add_column("strike", justify="right", no_wrap=True)
    table.add_column("lot", justify="right", no_wrap=True)
    for row in found:
        openalgo = catalogue.openalgo_key(row)
        also = [openalgo if openalgo != row.key else ""] if with_openalgo else []
        strike = f"{row.strike:g}" if row.strike else ""
        cells = (str(row.instrument_token), row.key, *also, row.name, row.expiry, strike)
        table.add_row(*cells, str(row.lot_size or ""))
    console.print(table)
