"""The entry of every command: finds it, runs it, turns errors into a paragraph and a code.

Floor 6. Only the command that was named is imported, so that each starts quickly and one can be
broken without the others. A command is a function for typer, or a `typer.Typer` with commands of
its own; it ends with `typer.Exit(code)` or by raising a PipelineError.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.cli.standard_streams import discard_output, open_closed
from pipeline.core.foreign import explain

if TYPE_CHECKING:
    import typer

PYTHON_VERSION_MIN: Final = (3, 11)
_PROGRAM: Final = "python -m pipeline"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Entry(NamedTuple):
    """Where a command is and what it does, for the overview."""

    target: str
    summary: str


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry("pipeline.cli.run:command", "Run the pipeline of a config file."),
    "demo": Entry(
        "pipeline.cli.demo.command:command", "Show the whole pipeline at work, and check it."
    ),
    "sim": Entry("pipeline.cli.sim:command", "Run the simulated exchange alone."),
    "stat": Entry("pipeline.cli.stat:command", "Show an instance's counters, live or dead."),
    "top": Entry("pipeline.cli.top:command", "Watch an instance."),
    "screen": Entry("pipeline.cli.screen:command", "Print an address of the page, good once."),
    "config": Entry("pipeline.cli.config:command", "Check and print config files."),
    "pool": Entry("pipeline.cli.pool:command", "Look after a pool of connections."),
    "sub": Entry("pipeline.cli.sub:command", "Say by hand what a pool streams."),
    "instruments": Entry(
        "pipeline.cli.instruments:command", "Keep the list of instruments, and look things up."
    ),
    "token": Entry("pipeline.cli.token:command", "Log in at the broker; renew an access token."),
    "gateway": Entry("pipeline.cli.gateway:command", "Say who may connect to the gateway."),
    "limits": Entry("pipeline.cli.limits:command", "Show what a broker allows, and who says so."),
    "doctor": Entry("pipeline.cli.doctor:command", "Say what is wrong here, and how to mend it."),
    "bench": Entry("pipeline.cli.bench:command", "Measure the pipeline beside its peers."),
    "clean": Entry("pipeline.cli.clean:command", "Remove what a crashed instance left."),
}


def main() -> None:
    """Run the command that was typed and leave with its exit code."""
    if sys.version_info < PYTHON_VERSION_MIN:
        wanted = ".".join(map(str, PYTHON_VERSION_MIN))
        sys.exit(f"this is Python {sys.version.split()[0]}; the pipeline needs {wanted} or newer")
    open_closed()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    rest = [argument for argument in arguments if argument != "--debug"]
    debug = len(rest) < len(arguments)
    try:
        from pipeline.core.errors import PipelineError

        app = build(rest)
    except ImportError as error:
        return _missing(error, debug=debug)
    try:
        app(rest, prog_name=_PROGRAM)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except PipelineError as error:
        if debug:
            traceback.print_exc()
        print(_redacted(f"{error}"), file=sys.stderr)
        return int(error.exit_code)
    except OSError as error:
        if debug or error.errno not in _NO_ROOM:
            raise
        discard_output()
        where = error.filename or "the output"
        print(f"{where} cannot be written: {error.strerror}; make room there", file=sys.stderr)
        return 1
    except ImportError as error:
        if not explain(error):
            raise
        return _missing(error, debug=debug)
    finally:
        if not debug:
            sys.excepthook = _short_excepthook  # not before: typer sets one of its own
    return 0


def build(arguments: Sequence[str]) -> typer.Typer:
    """Return the app with every command that exists; only the named one is imported."""
    import typer

    from pipeline.cli.options import options

    app = typer.Typer(
        help="Market data from brokers' WebSocket feeds, as numpy arrays, across processes.",
        epilog="--debug, anywhere on the line, shows tracebacks.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # Without a callback typer would take an app of one command for that command.
    app.callback()(options)
    named = next((word for word in arguments if not word.startswith("-")), "")
    for name, entry in COMMANDS.items():
        if not exists(entry):
            continue
        command = _load(entry) if name == named else _not_loaded
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, help=entry.summary)
        else:
            # Its own help is longer, and only there when it was imported.
            app.command(name, help=None if name == named else entry.summary)(command)
    return app


def exists(entry: Entry) -> bool:
    """Return whether the command's file is there, without importing it."""
    return importlib.util.find_spec(entry.target.partition(":")[0]) is not None


def _load(entry: Entry) -> typer.Typer:
    module, _, name = entry.target.partition(":")
    command: typer.Typer = getattr(importlib.import_module(module), name)
    return command


def _not_loaded() -> None:
    raise AssertionError("only the named command runs")


def _missing(error: ImportError, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    text = explain(error) or str(error)
    if text == str(error) and isinstance(error, ModuleNotFoundError) and error.name:
        text = (
            f"the package {error.name} is missing from this Python ({sys.executable}): start with "
            "./demo or ./check, which make their own environment in .venv, and then use "
            ".venv/bin/python -m pipeline; or, in a checkout: pip install ."
        )
    print(text, file=sys.stderr)
    return 1


def _short_excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Report a bug of ours in one line; Python then leaves with code 1."""
    if issubclass(kind, KeyboardInterrupt):
        return
    place = traceback.extract_tb(trace)[-1] if trace else None
    where = f" ({place.filename}:{place.lineno})" if place else ""
    text = f"internal error: {kind.__name__}: {error}{where}; --debug shows the traceback"
    print(_redacted(text), file=sys.stderr)


def _redacted(text: str) -> str:
    from pipeline.core.secrets import redact

    return redact(text)
